import CCSP
import Synchronization

/// The scheduler's shared state. Immortal; booted by the first use.
@safe
struct SchedulerCell: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    static let mostProcessors = 1024
    /// Bubbles that may exist at the same time.
    static let mostHeaps = 4096

    // Guarded by idleLock. First: see LockWord.init(at:offset:).
    /// Workers with a thread.
    var workers = 0

    var global = GlobalQueue()
    let mailbox = Mailbox()
    var stacks: StackArena
    /// Processors by index; those below `processorCount` exist. Never shrinks. From `mostProcessors` on, those that run nothing and only hold a
    /// bubble's timers.
    let processors: UnsafeMutablePointer<ProcessorRef>
    let processorCount = Atomic<Int>(0)
    let maxProcs = Atomic<Int>(0)

    // The idle protocol: see Idle.swift.
    /// Workers that own a processor: running goroutines, or looking for one.
    let awake = Atomic<Int>(0)
    let idleProcessors = Atomic<Int>(0)
    var poller = Poller()
    let idleLock = OwnedLock()
    // Guarded by idleLock.
    var firstIdleWorker: WorkerRef?
    var workersMade: UInt64 = 0
    /// Workers that sleep, and those without a thread.
    var sleepers = 0
    var retired: WorkerRef?
    var maxThreads = 10_000
    var heapCount = 0
    var freeHeaps: [ProcessorRef] = []
    var watchedDeadline = Int64.max

    /// Once a deadlock is being reported.
    let isEnding = Atomic<Bool>(false)
    var monitor = Monitor()
    let freeLock = OwnedLock()
    // Guarded by freeLock.
    var freeGoroutines = FreeGoroutines(capacity: 1024)
    var goroutineMemory = GoroutineMemory()
    var registry = GoroutineRegistry()

    /// One dump at a time.
    let dumpLock = OwnedLock()
    let nextID = Atomic<UInt64>(1)
    /// Goroutines started by threads outside, and ended by workers without a processor.
    let startedOutside = Atomic<Int>(0)
    let endedOutside = Atomic<Int>(0)
    let counters = SchedulerCounters()

    init(stacks: consuming StackArena) {
        self.stacks = stacks
        unsafe processors = .allocate(capacity: Self.mostProcessors + Self.mostHeaps)
    }
}

@safe
struct SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    let pointer: UnsafeMutablePointer<SchedulerCell>

    // SAFETY: immortal; who may touch which field stands beside the field.
    var cell: SchedulerCell {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    // SAFETY: a pointer to state that is guarded field by field.
    nonisolated(unsafe) static let shared = {
        // Not unseen: the sanitizer must know that the thread began here.
        locateThreadState()
        return RaceDetector.ignoring { boot() }
    }()

    /// The same for whoever knows that it has booted: goroutines and workers.
    static var running: SchedulerCore {
        @inline(__always) get {
            unsafe SchedulerCore(
                pointer: csp_get_arena().pointee.scheduler.assumingMemoryBound(to: SchedulerCell.self))
        }
    }

    private static func boot() -> SchedulerCore {
        csp_set_goroutine_main { goroutineMain() }
        unsafe csp_install_fault_handlers { goroutine, part, buffer, capacity in
            unsafe describeForFault(goroutine, part, buffer, capacity)
        }
        let pointer = UnsafeMutablePointer<SchedulerCell>.allocate(capacity: 1)
        unsafe pointer.initialize(
            to: SchedulerCell(
                stacks: StackArena(
                    allowGuardInstall: Knobs.guardInstall, largestRegionShift: Knobs.largestRegionShift,
                    defaultClass: Knobs.stackClass)))
        unsafe csp_get_arena().pointee.scheduler = UnsafeMutableRawPointer(pointer)
        let core = unsafe SchedulerCore(pointer: pointer)
        if let most = Knobs.maxThreads { core.cell.maxThreads = most }
        core.setMaxProcs(Knobs.maxProcs ?? defaultMaxProcs())
        csp_install_quit_handler { Dump.quit() }
        if Knobs.schedulerTrace != nil { core.cell.monitor.call() }
        if let path = Knobs.trace { LastWords.traceRun(path) }
        return core
    }

    /// Probes the Swift runtime on a thread of its own: this one may be running a task, or have task-locals bound.
    private static func locateThreadState() {
        let error = unsafe csp_thread_run(256 << 10, { _ in _ = ThreadStateLayout.shared }, nil)
        if error != 0 {
            fatal("fatal error: cannot start a thread (errno \(error)); see ulimit -u and the cgroup's pids.max")
        }
    }

    /// Go 1.25's rule: the CPUs this process may run on, or less if its cgroup has a quota, which is rounded up and counts as two at
    /// the least (https://go.dev/doc/go1.25#container-aware-gomaxprocs).
    static func defaultMaxProcs() -> Int {
        let cpus = Int(csp_affinity_cpus())
        let quota = csp_cgroup_quota_milli()
        guard quota > 0 else { return cpus }
        return min(cpus, max(2, Int((quota + 999) / 1000)))
    }

    /// A heap of timers that no worker looks at.
    static func takeHeap() -> ProcessorRef {
        let core = unsafe shared
        core.cell.idleLock.lock()
        defer { core.cell.idleLock.unlock() }
        if let free = core.cell.freeHeaps.popLast() { return free }
        guard core.cell.heapCount < SchedulerCell.mostHeaps else {
            fatal(
                "fatal error: more than \(SchedulerCell.mostHeaps) bubbles (explore, withVirtualTime) at the same time")
        }
        let index = SchedulerCell.mostProcessors + core.cell.heapCount
        core.cell.heapCount += 1
        core.makeProcessor(index)
        return core.processor(index)
    }

    /// One that still has timers is not used again.
    static func giveBack(_ heap: ProcessorRef) {
        guard heap.cell.timers.earliest.load(ordering: .acquiring) == .max else { return }
        let core = running
        core.cell.idleLock.lock()
        core.cell.freeHeaps.append(heap)
        core.cell.idleLock.unlock()
    }

    /// Guarded by idleLock.
    private func makeProcessor(_ index: Int) {
        let pointer = UnsafeMutablePointer<ProcessorCell>.allocate(capacity: 1)
        unsafe pointer.initialize(to: ProcessorCell(index: index))
        unsafe (cell.processors + index).initialize(to: ProcessorRef(pointer: pointer))
    }

    func processor(_ index: Int) -> ProcessorRef { unsafe cell.processors[index] }

    /// Takes effect at once for idle processors and at its worker's next scheduling point for a busy one.
    func setMaxProcs(_ wanted: Int) {
        guard wanted >= 1 else { fatal("panic: Scheduler.maxProcs must be at least 1, not \(wanted)") }
        let count = min(wanted, SchedulerCell.mostProcessors)
        cell.idleLock.lock()
        let old = cell.maxProcs.load(ordering: .relaxed)
        for index in cell.processorCount.load(
            ordering: .relaxed)..<max(count, cell.processorCount.load(ordering: .relaxed))
        {
            makeProcessor(index)
            cell.processorCount.store(index + 1, ordering: .releasing)
            // Grown below, with those that were retired.
            processor(index).cell.isRetired.store(true, ordering: .relaxed)
            processor(index).cell.hasWorker = false
        }
        cell.maxProcs.store(count, ordering: .sequentiallyConsistent)
        for index in old..<max(old, count) {
            let one = processor(index)
            one.cell.isRetired.store(false, ordering: .sequentiallyConsistent)
            if !one.cell.hasWorker { makeIdle(one) }
        }
        for index in count..<max(old, count) {
            let one = processor(index)
            one.cell.isRetired.store(true, ordering: .sequentiallyConsistent)
            if one.cell.isIdle { removeIdle(one) }
        }
        cell.idleLock.unlock()
        if cell.global.count.load(ordering: .relaxed) > 0 { _ = wakeWorker() }
    }
}
