import CCSP
import Synchronization

/// The right to run goroutines, with what the runner needs at hand. Immortal.
@safe
struct ProcessorCell: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    // Owner inside a section. First: see LockWord.init(at:offset:).
    var runNextStreak: UInt32 = 0
    // Written once.
    let index: Int
    // Shared.
    private let workerPointer = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    // Owner inside a section, or others under a claim; read by everybody, as a hint.
    /// The goroutine to run before the queue: the partner of the one that made it ready, whose data is in the cache.
    let runNext = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    /// Counts goroutines entered; how others see whether this processor moves.
    let tick = Atomic<UInt64>(0)
    /// How long goroutines waited for it, while that is measured.
    let latency = WaitHistogram()
    /// Set when maxProcs has fallen below this index: the worker gives it up at its next scheduling point.
    let isRetired = Atomic<Bool>(false)
    var queue = RunQueue()
    var timers = TimerHeap()
    // Owner inside a section.
    var freeGoroutines = FreeGoroutines(capacity: 256)
    var stacks = StackCache()
    var nextID: UInt64 = 0
    var idsLeft = 0
    // Written by the owner only, read by all: started - ended may be negative for one processor, never for the sum.
    let started = Atomic<Int>(0)
    let ended = Atomic<Int>(0)
    // Guarded by the idle lock.
    var isIdle = false
    var hasWorker = false

    init(index: Int) {
        self.index = index
    }
}

extension ProcessorCell {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// The worker that owns it.
    var worker: WorkerRef? {
        get { unsafe WorkerRef(workerPointer.load(ordering: .acquiring)) }
        nonmutating set {
            unsafe workerPointer.store(
                newValue.map { unsafe UnsafeMutableRawPointer($0.pointer) }, ordering: .releasing)
        }
    }
}

@safe
struct ProcessorRef: Equatable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    let pointer: UnsafeMutablePointer<ProcessorCell>

    @inline(__always)
    init?(_ raw: UnsafeMutableRawPointer?) {
        guard let raw = unsafe raw else { return nil }
        // SAFETY: only processors' addresses are stored as raw processors.
        unsafe pointer = raw.assumingMemoryBound(to: ProcessorCell.self)
    }

    init(pointer: UnsafeMutablePointer<ProcessorCell>) { unsafe self.pointer = unsafe pointer }

    @inline(__always)
    static func == (a: ProcessorRef, b: ProcessorRef) -> Bool { unsafe a.pointer == b.pointer }

    // SAFETY: processors are immortal; who may touch which field stands beside the field.
    var cell: ProcessorCell {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    /// Owner, inside a section: makes `goroutine` the next to run; who was that before goes to the queue.
    @inline(__always)
    func setRunNext(_ goroutine: GoroutineRef) {
        if let replaced = exchangeRunNext(goroutine) { enqueue(replaced) }
    }

    /// Owner, inside a section. Returns who was that before, for the queue.
    @inline(__always)
    func exchangeRunNext(_ goroutine: GoroutineRef) -> GoroutineRef? {
        goroutine.check(.runnable, before: "it is next")
        let old = unsafe GoroutineRef(cell.runNext.load(ordering: .relaxed))
        unsafe cell.runNext.store(UnsafeMutableRawPointer(goroutine.pointer), ordering: .relaxed)
        return old
    }

    /// Owner, inside a section.
    @inline(__always)
    func takeRunNext() -> GoroutineRef? {
        guard let next = unsafe GoroutineRef(cell.runNext.load(ordering: .relaxed)) else { return nil }
        unsafe cell.runNext.store(nil, ordering: .relaxed)
        return next
    }

    /// Owner, inside a section: puts `goroutine` at the end of the queue, or half of a full queue and it into the global one.
    @inline(__always)
    func enqueue(_ goroutine: GoroutineRef) {
        goroutine.check(.runnable, before: "it queues")
        if !cell.queue.push(goroutine) { enqueueSlow(goroutine) }
    }

    @inline(never)
    private func enqueueSlow(_ goroutine: GoroutineRef) {
        cell.queue.moveHalf(to: &SchedulerCore.running.cell.global, and: goroutine)
    }

    /// Owner, inside a section, or under a claim: empties a processor that maxProcs no longer counts.
    func surrender() {
        let core = SchedulerCore.running
        while let one = takeRunNext() ?? cell.queue.pop() { core.cell.global.append(one) }
    }

    /// Whether it has no goroutines.
    @inline(__always)
    var isEmpty: Bool { unsafe cell.queue.isEmpty && cell.runNext.load(ordering: .relaxed) == nil }

    /// Whether a goroutine that yields need not.
    @inline(__always)
    var isAlone: Bool {
        isEmpty && cell.timers.earliest.load(ordering: .relaxed) == .max && !cell.isRetired.load(ordering: .relaxed)
            && SchedulerCore.running.cell.global.count.load(ordering: .relaxed) == 0
            && !SchedulerCore.running.cell.poller.wantsLooks
    }

    /// Whether its worker should do more than take the next goroutine from here: now and then, if there are timers, or others' goroutines that must
    /// not starve; and at once if it is retired.
    @inline(__always)
    var mustLookFurther: Bool {
        if cell.isRetired.load(ordering: .relaxed) { return true }
        if cell.tick.load(ordering: .relaxed) & 15 != 0 { return false }
        return cell.timers.earliest.load(ordering: .relaxed) != .max
            || SchedulerCore.running.cell.global.count.load(ordering: .relaxed) > 0
            || SchedulerCore.running.cell.poller.wantsLooks
            // Its goroutines are to come by the loop from now on.
            || csp_watch() & ~UInt32(CSP_WATCH_FIBERS) != 0
    }
}
