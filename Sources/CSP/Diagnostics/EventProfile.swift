import CCSP
import Synchronization

/// How often goroutines have waited for each other, and how long, by the stack where they did.
package final class EventProfile: @unchecked Sendable {
    // SAFETY: (whole type) all is guarded by the lock, or atomic; traces are memory of the caller's.
    package struct Entry: Sendable {
        /// Innermost first.
        package let stack: [UInt]
        /// How often, and how many nanoseconds, by the samples' weights.
        package var count = 0.0
        package var nanoseconds = 0.0
    }

    /// Where goroutines were blocked by others; a wait counts that is as long as `period`, a shorter one with the probability that it is a part of it.
    package static let block = EventProfile("block", UInt32(CSP_WATCH_BLOCK), isByTime: true)
    /// Who made others wait for locks: the stacks of who unlocked. One in `period` waits counts.
    package static let mutex = EventProfile("mutex", UInt32(CSP_WATCH_MUTEX), isByTime: false)
    /// Stacks beyond that are not told apart.
    private static let mostStacks = 10_000

    /// As Go calls it.
    package let name: String
    private let watch: UInt32
    private let isByTime: Bool
    private let sampling = Atomic<Int64>(0)
    private let lock = OwnedLock()
    // Guarded by the lock.
    private var entries: [[UInt]: Entry] = [:]

    private init(_ name: String, _ watch: UInt32, isByTime: Bool) {
        self.name = name
        self.watch = watch
        self.isByTime = isByTime
    }

    /// Nanoseconds, or waits, per sample; 0 for none.
    var period: Int64 {
        get { sampling.load(ordering: .relaxed) }
        set {
            sampling.store(max(0, newValue), ordering: .relaxed)
            csp_set_watch(watch, newValue > 0)
        }
    }

    /// All since the process began, as Go's.
    package var snapshot: [Entry] {
        RaceDetector.ignoring {
            lock.lock()
            defer { lock.unlock() }
            return Array(entries.values)
        }
    }

    /// A wait is over, of somebody whose stack `walk` finds.
    func note(_ nanoseconds: Int64, _ walk: (UnsafeMutablePointer<csp_trace>) -> Void) {
        let period = period
        guard period > 0, nanoseconds > 0 else { return }
        var weight = 1.0
        if isByTime {
            if nanoseconds < period {
                guard csp_random() % UInt64(period) < UInt64(nanoseconds) else { return }
                weight = Double(period) / Double(nanoseconds)
            }
        } else if period > 1 {
            guard csp_random() % UInt64(period) == 0 else { return }
            weight = Double(period)
        }
        unsafe add(weight, Double(nanoseconds) * weight, walk)
    }

    private func add(_ count: Double, _ nanoseconds: Double, _ walk: (UnsafeMutablePointer<csp_trace>) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: csp_trace.self, capacity: 1) { buffer in
            let trace = buffer.baseAddress!
            unsafe trace.pointee.count = 0
            unsafe walk(trace)
            let frames = unsafe UnsafeBufferPointer(start: csp_trace_frames(trace), count: Int(trace.pointee.count))
            unsafe add(Array(frames), count, nanoseconds)
        }
    }

    private func add(_ stack: [UInt], _ count: Double, _ nanoseconds: Double) {
        lock.lock()
        defer { lock.unlock() }
        let key = entries[stack] != nil || entries.count < Self.mostStacks ? stack : []
        entries[key, default: Entry(stack: key)].count += count
        entries[key]!.nanoseconds += nanoseconds
    }
}

/// Who has started threads for goroutines.
package enum ThreadStarts {
    /// Stacks, innermost first, and how many threads each has started.
    package static var entries: [(stack: [UInt], count: Int)] {
        // SAFETY: the trace lives through the calls.
        var trace = csp_trace()
        var found: [(stack: [UInt], count: Int)] = []
        for number in 0... {
            let count = RaceDetector.ignoring { unsafe csp_thread_start_at(UInt32(number), &trace) }
            if count == 0 { break }
            let frames = unsafe withUnsafePointer(to: &trace) {
                unsafe Array(UnsafeBufferPointer(start: csp_trace_frames($0), count: Int($0.pointee.count)))
            }
            found.append((frames, Int(count)))
        }
        return found
    }
}

extension Scheduler {
    /// The block profile samples about one wait in so much time that goroutines wait for each other (Go's `runtime.SetBlockProfileRate`); nil, as it is
    /// unless set, for none. `.nanoseconds(1)` samples every wait.
    ///
    /// While it is set each time that a goroutine waits costs some 100 ns.
    public static var blockProfilePeriod: Duration? {
        get { EventProfile.block.period > 0 ? .nanoseconds(EventProfile.block.period) : nil }
        set { EventProfile.block.period = newValue.map { max(1, $0.clampedNanoseconds) } ?? 0 }
    }

    /// The mutex profile samples one in so many waits for a lock (Go's `runtime.SetMutexProfileFraction`); 0, as it is unless set, for none.
    ///
    /// It tells the stacks of who held the lock for so long, as they unlock it.
    public static var mutexProfileFraction: Int {
        get { Int(EventProfile.mutex.period) }
        set {
            guard newValue >= 0 else {
                fatal("panic: Scheduler.mutexProfileFraction must not be negative: \(newValue)")
            }
            EventProfile.mutex.period = Int64(newValue)
        }
    }
}
