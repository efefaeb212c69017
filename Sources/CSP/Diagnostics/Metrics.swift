import CCSP
import Synchronization

/// What the scheduler does at a moment, and what it has done since it booted: see ``Scheduler/metrics``.
///
/// Nothing stops for it: each number is true of some moment of the call, not all of the same one.
public struct SchedulerMetrics: Sendable {
    /// One of Go's Ps: the right to run goroutines.
    public struct Processor: Sendable {
        /// From 0.
        public var index = 0
        /// The id of the goroutine that it runs; nil when it looks for one or is idle.
        public var goroutine: UInt64?
        /// Whether no thread has it.
        public var isIdle = false
        /// Goroutines in its own queue.
        public var queued = 0
        /// Timers in its heap.
        public var timers = 0
        /// How often it has entered a goroutine.
        public var switches: UInt64 = 0
    }

    /// How many durations were how long.
    public struct Histogram: Sendable {
        /// The upper bounds of all classes but the last, which has none; ascending.
        public let bounds: [Duration]
        /// How many fell into each class: one more than there are bounds.
        public internal(set) var counts: [UInt64]
        /// All durations together.
        public internal(set) var sum: Duration = .zero

        /// Classes for what `WaitHistogram` counts.
        static let empty = Histogram(
            bounds: (0..<WaitHistogram.classes - 1).map { .microseconds(1 << $0) },
            counts: Array(repeating: 0, count: WaitHistogram.classes))
    }

    /// Goroutines on a processor, or blocked in the kernel.
    public var running = 0
    /// Goroutines that could run.
    public var runnable = 0
    /// Goroutines that wait, by what they wait for, in Go's words: "chan receive", "select", "sync.Mutex.Lock".
    public var waiting: [String: Int] = [:]
    /// All that there are.
    public var goroutines: Int { running + runnable + waiting.values.reduce(0, +) }
    /// How many have been started.
    public var goroutinesStarted: UInt64 = 0

    /// As many as ``Scheduler/maxProcs``.
    public var processors: [Processor] = []
    /// Goroutines in the global queue.
    public var globalQueue = 0
    /// Threads for goroutines (Go's Ms).
    public var threads = 0
    /// How many of them sleep.
    public var idleThreads = 0

    /// How often a processor took goroutines from another one's queue.
    public var steals: UInt64 = 0
    /// How many goroutines they were.
    public var stolenGoroutines: UInt64 = 0
    /// How often a sleeping thread was woken, or a new one started, to run goroutines.
    public var wakeups: UInt64 = 0
    /// How often a processor was taken from a goroutine that blocked in the kernel, computed for too long, or said that it would (`blocking`).
    public var handOffs: UInt64 = 0

    /// Timers that are set.
    public var timers = 0
    /// Descriptors that the poller watches.
    public var polledDescriptors = 0
    /// Goroutines, tasks and threads that wait for one.
    public var waitingForDescriptors = 0

    /// Stacks of goroutines.
    public var stacks = 0
    /// Stacks that are kept for the next ones.
    public var freeStacks = 0
    /// Memory that stacks really take; 0 if the kernel does not tell.
    public var stackBytes = 0

    /// How often goroutines waited for a lock: only while ``Scheduler/measuresWaiting``.
    public var contentions: UInt64 = 0
    /// How long they waited altogether.
    public var contentionTime: Duration = .zero
    /// How long goroutines that could run waited until they ran: only while ``Scheduler/measuresWaiting``.
    public var latency = Histogram.empty
}

extension Scheduler {
    // SAFETY: (whole type) control blocks are immortal; what others may be writing is read by `csp_peek` or is atomic.
    /// What the scheduler does now and has done so far, for monitoring. Go's `runtime/metrics`.
    ///
    /// May be called on any thread, also while all processors are stuck.
    ///
    /// - Complexity: O(goroutines that have ever been there at the same time), and a look of the kernel's at all of the process's memory, during which other threads cannot map any
    ///   (with 100,000 goroutines: 30 ms).
    public static var metrics: SchedulerMetrics { RaceDetector.ignoring { currentMetrics } }

    private static var currentMetrics: SchedulerMetrics {
        let core = unsafe SchedulerCore.shared
        var metrics = SchedulerMetrics()
        core.countProcessors(&metrics)
        core.countGoroutines(&metrics)
        metrics.steals = core.cell.counters.steals.load(ordering: .relaxed)
        metrics.stolenGoroutines = core.cell.counters.stolen.load(ordering: .relaxed)
        metrics.wakeups = core.cell.counters.wakeups.load(ordering: .relaxed)
        metrics.handOffs = core.cell.counters.handOffs.load(ordering: .relaxed)
        metrics.polledDescriptors = core.cell.poller.watched.load(ordering: .relaxed)
        metrics.waitingForDescriptors = max(0, core.cell.poller.waiting.load(ordering: .relaxed))
        metrics.contentions = core.cell.counters.contentions.load(ordering: .relaxed)
        metrics.contentionTime = .nanoseconds(core.cell.counters.contentionTime.load(ordering: .relaxed))
        metrics.stackBytes = csp_resident_stack_bytes()
        return metrics
    }

    /// Whether it is measured how long goroutines wait for a processor and for locks, which ``metrics`` then tells. Off until set; costs some 70 ns for each
    /// time that a goroutine runs.
    public static var measuresWaiting: Bool {
        get { csp_watch() & UInt32(CSP_WATCH_WAITING) != 0 }
        set { csp_set_watch(UInt32(CSP_WATCH_WAITING), newValue) }
    }
}

/// Events that are rare enough to be counted always, in memory that all share; and contention, when it is measured.
struct SchedulerCounters: ~Copyable {
    let steals = Atomic<UInt64>(0)
    let stolen = Atomic<UInt64>(0)
    let wakeups = Atomic<UInt64>(0)
    let handOffs = Atomic<UInt64>(0)
    let contentions = Atomic<UInt64>(0)
    let contentionTime = Atomic<Int64>(0)

    func noteContention(_ nanoseconds: Int64) {
        contentions.wrappingAdd(1, ordering: .relaxed)
        contentionTime.wrappingAdd(nanoseconds, ordering: .relaxed)
    }
}

/// Durations in classes: below 1 µs, 2 µs, 4 µs, and so on up to half a second, and above. Written by one processor's owner, read by all.
struct WaitHistogram: ~Copyable {
    static var classes: Int { 21 }
    private let counts = InlineArray<21, Atomic<UInt64>> { _ in Atomic(0) }
    private let sum = Atomic<Int64>(0)

    func add(_ nanoseconds: Int64) {
        let microseconds = UInt64(max(0, nanoseconds)) / 1000
        let place = min(Self.classes - 1, UInt64.bitWidth - microseconds.leadingZeroBitCount)
        counts[place].store(counts[place].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        sum.store(sum.load(ordering: .relaxed) &+ max(0, nanoseconds), ordering: .relaxed)
    }

    func add(to histogram: inout SchedulerMetrics.Histogram) {
        for place in 0..<Self.classes { histogram.counts[place] += counts[place].load(ordering: .relaxed) }
        histogram.sum += .nanoseconds(sum.load(ordering: .relaxed))
    }
}

extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal; what others may be writing is read by `csp_peek` or is atomic.
    fileprivate func countGoroutines(_ metrics: inout SchedulerMetrics) {
        var byReason = [Int](repeating: 0, count: 256)
        cell.registry.forEach { goroutine in
            if unsafe csp_peek_8(&goroutine.pointer.pointee.footing) != 0 { metrics.stacks += 1 }
            switch unsafe GoroutineCell.Status(rawValue: csp_peek_8(&goroutine.pointer.pointee.status)) {
            case .running:
                metrics.running += 1
                if let place = place(of: goroutine), metrics.processors.indices.contains(place) {
                    metrics.processors[place].goroutine = unsafe csp_peek_64(&goroutine.pointer.pointee.id)
                }
            case .runnable: metrics.runnable += 1
            case .waiting: byReason[unsafe Int(csp_peek_8(&goroutine.pointer.pointee.waitReason))] += 1
            case .free, nil: break
            }
        }
        for (value, count) in byReason.enumerated() where count > 0 {
            guard let reason = WaitReason(rawValue: UInt8(value)) else { continue }
            metrics.waiting[reason.description, default: 0] += count
        }
    }

    fileprivate func countProcessors(_ metrics: inout SchedulerMetrics) {
        metrics.goroutinesStarted = UInt64(cell.startedOutside.load(ordering: .relaxed))
        metrics.globalQueue = cell.global.count.load(ordering: .relaxed)
        metrics.freeStacks = cell.stacks.freeCount
        for index in 0..<cell.processorCount.load(ordering: .acquiring) {
            let one = processor(index)
            metrics.goroutinesStarted += UInt64(one.cell.started.load(ordering: .relaxed))
            let timers = one.cell.timers.countNow
            metrics.timers += timers
            one.cell.latency.add(to: &metrics.latency)
            guard index < cell.maxProcs.load(ordering: .relaxed) else { continue }
            let next = unsafe one.cell.runNext.load(ordering: .relaxed) == nil ? 0 : 1
            metrics.processors.append(
                SchedulerMetrics.Processor(
                    index: index, queued: one.cell.queue.count + next, timers: timers,
                    switches: one.cell.tick.load(ordering: .relaxed)))
        }
        cell.idleLock.lock()
        metrics.threads = cell.workers
        metrics.idleThreads = cell.sleepers
        for index in metrics.processors.indices { metrics.processors[index].isIdle = processor(index).cell.isIdle }
        cell.idleLock.unlock()
    }

    /// The index of the processor that a running goroutine is on, if it has one.
    private func place(of goroutine: GoroutineRef) -> Int? {
        let worker = unsafe WorkerRef(
            UnsafeMutableRawPointer(bitPattern: UInt(csp_peek_64(&goroutine.pointer.pointee.worker))))
        return worker?.cell.processor?.cell.index
    }
}
