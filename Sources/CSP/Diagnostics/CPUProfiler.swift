import CCSP
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where all threads of the process spend CPU time: each is interrupted now and then, when it has used so much of it.
package enum CPUProfiler {
    // SAFETY: (whole type) what C writes to lives through the calls.
    package struct Entry: Sendable {
        /// Innermost first, as if they were return addresses.
        package let stack: [UInt]
        /// The goroutine's name, if it has one.
        package let label: String?
        /// Samples.
        package var count = 0
    }

    package struct Profile: Sendable {
        package var entries: [Entry] = []
        /// Nanoseconds of CPU time that a sample stands for.
        package var period: Int64 = 0
        package var duration: Duration = .zero
        /// Samples that found no room.
        package var lost: UInt64 = 0
    }

    package enum Failure: Error, CustomStringConvertible {
        /// One profile at a time.
        case busy
        /// Some other profiler has the signal.
        case signalInUse
        case system(Int32)

        package var description: String {
            switch self {
            case .busy: "a CPU profile is being made already; wait until it is done"
            case .signalInUse: "some other profiler of this process handles SIGPROF; stop that one first"
            case .system(let code): "the kernel refuses to profile (errno \(code))"
            }
        }
    }

    private static let isBusy = Atomic<Bool>(false)
    /// How often threads that are new are looked for, and samples are taken. There is room for 8192 samples in between.
    private static let round: Int64 = 50_000_000

    /// Makes a profile of so much time from now on. Blocks the calling thread, which must not be one of Swift's pool.
    ///
    /// - Complexity: At 100 Hz some 0.4 % of a busy thread's time, by perf; the threads are listed 20 times per second.
    package static func run(
        for duration: Duration, hertz: Int = 100
    ) throws(Failure) -> Profile {
        // Not a closure: that could not throw.
        csp_race_ignore()
        defer { csp_race_heed() }
        guard !isBusy.exchange(true, ordering: .acquiringAndReleasing) else { throw .busy }
        defer { isBusy.store(false, ordering: .releasing) }
        let hertz = min(max(hertz, 1), 1000)
        switch csp_profile_begin(UInt32(hertz), idOffset) {
        case 0: break
        case EBUSY: throw .signalInUse
        case let code: throw .system(code)
        }
        let start = csp_now()
        let (end, isFar) = start.addingReportingOverflow(duration.clampedNanoseconds)
        var collected = Collected()
        while true {
            let now = csp_now()
            guard isFar || now < end else { break }
            csp_sleep(isFar ? round : min(round, end - now))
            _ = csp_profile_threads()
            collected.take()
        }
        csp_profile_end()
        collected.take()
        var losses: (samples: UInt64, threads: UInt64) = (0, 0)
        unsafe csp_profile_losses(&losses.samples, &losses.threads)
        return Profile(
            entries: collected.entries, period: Int64(1_000_000_000 / hertz), duration: .nanoseconds(csp_now() - start),
            lost: losses.samples)
    }

    /// Where in a control block the id is, for the signal's handler.
    private static var idOffset: Int {
        // SAFETY: only addresses are taken.
        let goroutine = unsafe SchedulerCore.shared.takeFreeGoroutine()
        defer { SchedulerCore.running.giveBack(goroutine) }
        return unsafe withUnsafePointer(to: &goroutine.pointer.pointee.id) {
            unsafe UnsafeRawPointer($0) - UnsafeRawPointer(goroutine.pointer)
        }
    }

    private struct Collected {
        // SAFETY: (whole type) control blocks are immortal; the sample is ours.
        private struct Key: Hashable {
            let stack: [UInt]
            let label: String?
        }
        private var places: [Key: Int] = [:]
        private(set) var entries: [Entry] = []

        mutating func take() {
            let sample = UnsafeMutablePointer<csp_sample>.allocate(capacity: 1)
            defer { unsafe sample.deallocate() }
            unsafe sample.initialize(to: csp_sample())
            while unsafe csp_profile_take(sample) {
                let trace = unsafe csp_sample_trace(sample)
                let frames = unsafe UnsafeBufferPointer(
                    start: csp_trace_frames(trace), count: Int(sample.pointee.trace.count))
                // The goroutine may have ended meanwhile; then nobody knows its name.
                let goroutine = unsafe GoroutineRef(sample.pointee.goroutine)
                let key = unsafe Key(
                    stack: Array(frames), label: goroutine?.name(ifStill: sample.pointee.goroutine_id))
                let place = places[key] ?? entries.count
                if place == entries.count {
                    places[key] = place
                    entries.append(Entry(stack: key.stack, label: key.label))
                }
                entries[place].count += unsafe Int(sample.pointee.weight)
            }
        }
    }
}
