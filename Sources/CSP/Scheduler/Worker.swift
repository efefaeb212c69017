import CCSP
import Synchronization

/// What is still to be done for a goroutine that has left its stack. Whoever runs next on its thread does it, on another stack: before
/// that nobody else may run the goroutine.
@usableFromInline
@safe
enum Afterwards {
    // SAFETY: (whole type) the locks are on the stack of a select that waits until they are released.
    case nothing
    // It waits: lets go of the lock under which it has queued, so that others see it.
    case unlockChannel(ChannelRef, publishing: UInt32)
    case unlock(LockWord)
    case unlockAll(UnsafePointer<SelectLocks>)
    // It does not.
    case enqueue(GoroutineRef)
    case recycle(GoroutineRef)
}

/// See `WorkerCell.returnsToLoop`.
struct LoopReasons: OptionSet {
    let rawValue: UInt8
    /// The thread is locked to it.
    static var locked: LoopReasons { LoopReasons(rawValue: 1) }
    /// It is a member of a bubble.
    static var member: LoopReasons { LoopReasons(rawValue: 2) }
    /// Somebody watches what goroutines do.
    static var watched: LoopReasons { LoopReasons(rawValue: 4) }
}

/// An OS thread that runs goroutines. Immortal.
@safe
struct WorkerCell: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    // Must be first: the switch addresses it by the cell.
    var context = unsafe csp_context()
    // See Section.swift.
    let inside = Atomic<UInt32>(1)
    let claim = Atomic<UInt32>(WorkerRef.unclaimed)
    /// Written by the worker inside a section, or under a claim; by others while it sleeps.
    private let processorPointer = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    // Owner only, while it runs.
    var afterwards = Afterwards.nothing
    /// Taken from the queue by a goroutine that could not switch into it itself.
    var handed: GoroutineRef?
    /// The addresses, on this thread, of the Swift runtime's state that travels with goroutines.
    var stateWords: ThreadStateWords
    /// How long it waits for work before it sleeps; see `linger`.
    var lingerNanoseconds: Int64 = 50_000
    /// Its thread's, for sanitizers.
    var fiber: OpaquePointer?
    /// Where it notes events.
    var traceChunk: TraceChunkRef?
    /// When the last goroutine has left its stack, while somebody watches, and if the worker has found the next one at once; otherwise 0.
    var leftAt: Int64 = 0
    /// Since when it runs the goroutine that it runs, while somebody watches; 0 while it runs none.
    let watchedSince = Atomic<Int64>(0)
    /// Which one that is, and where it was made.
    let watchedID = Atomic<UInt64>(0)
    let watchedMaker = Atomic<UInt64>(0)
    /// Since when that goroutine has had the processor, or had it when it was lost.
    let onProcessorSince = Atomic<Int64>(0)
    /// When it has lost its processor. Written by who takes it away, under a claim.
    let lostProcessorAt = Atomic<Int64>(0)
    /// It runs one goroutine only: see LockedThread.swift.
    var isLocked: Bool { returnsToLoop.contains(.locked) }
    /// Why a goroutine that leaves must come back to the loop.
    var returnsToLoop: LoopReasons = []
    // Guarded by the idle lock.
    var nextIdle: WorkerRef?
    var isIdle = false
    var watchesTimers = false
    /// Sleeps in the poller and not on its futex. Cleared by the worker itself.
    var attends = false
    /// Waits for its goroutine, without a processor.
    var waitsForLocked = false
    /// Its goroutine, which another worker has found runnable.
    var returned: GoroutineRef?
    // Shared.
    /// 1 once a processor was assigned to a sleeping worker. The futex it sleeps on.
    let wakeUp = Atomic<UInt32>(0)
    /// Its thread, for dumps; 0 until it runs.
    let threadID = Atomic<Int32>(0)

    /// From 1 in the order in which they were made.
    let number: UInt64
    private let spareWord: UnsafeMutablePointer<UInt64>

    init(number: UInt64) {
        self.number = number
        unsafe spareWord = .allocate(capacity: 1)
        unsafe spareWord.initialize(to: 0)
        stateWords = unsafe ThreadStateWords(spare: spareWord)
    }

    /// Nil while it sleeps, and after the monitor has taken the processor away from a goroutine that computes or blocks.
    var processor: ProcessorRef? {
        @inline(__always) get { unsafe ProcessorRef(processorPointer.load(ordering: .relaxed)) }
        @inline(__always) nonmutating set {
            unsafe processorPointer.store(
                newValue.map { unsafe UnsafeMutableRawPointer($0.pointer) }, ordering: .relaxed)
        }
    }
}

@usableFromInline
@safe
struct WorkerRef: Equatable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    let pointer: UnsafeMutablePointer<WorkerCell>

    @inline(__always)
    @usableFromInline static func == (a: WorkerRef, b: WorkerRef) -> Bool { unsafe a.pointer == b.pointer }

    // SAFETY: workers are immortal; who may touch which field stands beside the field.
    var cell: WorkerCell {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    /// The worker that this thread is; not to be asked on a goroutine's stack.
    static var current: WorkerRef? { unsafe WorkerRef(csp_current_thread_record().pointee.worker) }

    /// The worker's whole life. Goroutines switch from one to the next by themselves, and come back here when there is none at hand or
    /// it is time to look further.
    func run() {
        if csp_has_fibers {
            let fiber = unsafe csp_fiber_of_thread()
            unsafe csp_fiber_wakes(fiber)
            csp_race_ignore()
            unsafe cell.fiber = unsafe fiber
        }
        csp_prepare_for_signals()
        csp_set_coarse_now(csp_now())
        cell.threadID.store(csp_thread_id(), ordering: .releasing)
        unsafe csp_current_thread_record().pointee.worker = UnsafeMutableRawPointer(pointer)
        unsafe csp_current_thread_record().pointee.worker_number = cell.number
        cell.stateWords.locate()
        unsafe csp_save_controls(context)
        while let goroutine = cell.isLocked ? waitForLocked() : findGoroutine() {
            if goroutine.cell.footing == .locked, goroutine.cell.lockedTo != self {
                giveBack(goroutine)
                continue
            }
            let processor = cell.processor!
            if goroutine.cell.footing == .none { bindStack(goroutine, processor) }
            begin(goroutine, processor)
            if goroutine.cell.isInFamily, let bubble = goroutine.bubble {
                runMember(goroutine, of: bubble)
                continue
            }
            enter(goroutine)
            finishSwitch()
        }
        csp_remove_signal_stack()
        if csp_has_fibers { unsafe csp_fiber_destroy(cell.fiber, true) }
        retire()
        if csp_has_fibers { csp_race_heed() }
    }

    /// Switches to a goroutine that is ours. Returns when one, perhaps another, comes back to the worker.
    @inline(__always)
    func enter(_ goroutine: GoroutineRef) {
        if csp_watch() != 0 || cell.returnsToLoop.contains(.watched) {
            enterWatched(goroutine)
        } else {
            enterUnwatched(goroutine)
        }
    }

    @inline(__always)
    func enterUnwatched(_ goroutine: GoroutineRef) {
        // SAFETY: the goroutine is ours, so nobody else is on its stack.
        guard csp_has_fibers else { return unsafe csp_enter(context, goroutine.context) }
        unsafe csp_fiber_switch(cell.fiber, goroutine.cell.fiber, false)
        unsafe csp_enter(context, goroutine.context)
        unsafe csp_fiber_arrive(cell.fiber)
    }

    /// What switches save into and continue at.
    var context: UnsafeMutablePointer<csp_context> {
        // SAFETY: contexts are the first fields of their cells.
        @inline(__always) get { unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: csp_context.self) }
    }

    /// Makes a goroutine, which has a stack, ours to run.
    @inline(__always)
    func begin(_ goroutine: GoroutineRef, _ processor: ProcessorRef) {
        goroutine.check(.runnable, before: "it runs")
        goroutine.cell.status = .running
        goroutine.cell.worker = self
        processor.cell.tick.store(processor.cell.tick.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    /// On the stack that was switched to, inside the section in which the last one was left.
    @inline(__always)
    func finishSwitch() {
        let afterwards = cell.afterwards
        cell.afterwards = .nothing
        // Not all of them here, which would be a jump through a table.
        switch afterwards {
        case .unlockChannel(let channel, let word): channel.lockWord.unlock(publishing: word)
        case .nothing, .unlock, .unlockAll, .recycle: finishSwitchSlow(afterwards)
        case .enqueue(let goroutine):
            goroutine.check(.running, before: "it gives way")
            goroutine.cell.status = .runnable
            if let processor = cell.processor { processor.enqueue(goroutine) } else { goroutine.submit() }
        }
    }

    /// What would make `finishSwitch` too large to be inlined where a channel is waited for (measured: 12 % of a ping-pong).
    @inline(never)
    private func finishSwitchSlow(_ afterwards: Afterwards) {
        switch afterwards {
        case .unlock(let lock): lock.unlock()
        case .unlockAll(let locks): unsafe locks.pointee.unlockAll()
        case .recycle(let goroutine):
            if csp_has_fibers { unsafe csp_fiber_destroy(goroutine.cell.fiber, false) }
            returnStack(of: goroutine)
            recycle(goroutine)
        case .nothing, .unlockChannel, .enqueue: break
        }
    }

    // MARK: Stacks

    /// Binds one of the processor's cached stacks; false when there is none, or another size is wanted.
    @inline(__always)
    func bindCachedStack(_ goroutine: GoroutineRef, _ processor: ProcessorRef) -> Bool {
        guard Int(goroutine.cell.stackClass) == StackArena.defaultClass, let slot = processor.cell.stacks.take()
        else { return false }
        bind(goroutine, StackArena.defaultClass, slot)
        // The stack for the goroutine after this one may be in no cache.
        if let next = processor.cell.stacks.first {
            unsafe csp_prefetch_top(UnsafeRawPointer(bitPattern: top(StackArena.defaultClass, next)))
        }
        return true
    }

    @inline(never)
    private func bindStack(_ goroutine: GoroutineRef, _ processor: ProcessorRef) {
        if bindCachedStack(goroutine, processor) { return }
        let kind = Int(goroutine.cell.stackClass)
        var slot: Int32 = -1
        SchedulerCore.running.cell.stacks.take(kind, kind == StackArena.defaultClass ? 16 : 1) { taken in
            if slot < 0 { slot = taken } else { _ = processor.cell.stacks.give(taken) }
        }
        bind(goroutine, kind, slot)
    }

    @inline(__always)
    private func bind(_ goroutine: GoroutineRef, _ kind: Int, _ slot: Int32) {
        if csp_has_fibers { unsafe SchedulerCore.running.cell.stacks.place(goroutine.cell.fiber, kind, slot) }
        goroutine.cell.stackSlot = slot
        goroutine.cell.footing = .own
        unsafe csp_set_owner(
            UInt(truncatingIfNeeded: kind), UInt(truncatingIfNeeded: slot), UnsafeMutableRawPointer(goroutine.pointer))
        unsafe csp_context_prepare(goroutine.context, UnsafeMutableRawPointer(bitPattern: top(kind, slot)), context)
    }

    /// Where a stack begins. Coloured: stacks that all began at the same offset would share a few cache sets.
    @inline(__always)
    private func top(_ kind: Int, _ slot: Int32) -> UInt {
        let size = UInt(1) &<< UInt(truncatingIfNeeded: StackArena.smallestShift &+ kind)
        let colour = UInt(truncatingIfNeeded: slot & 31) &* 64
        return SchedulerCore.running.cell.stacks.base(kind, slot) &+ size &- colour
    }

    @inline(__always)
    private func returnStack(of goroutine: GoroutineRef) {
        let kind = Int(goroutine.cell.stackClass)
        // First: a dump must not look at it once somebody else has it.
        goroutine.cell.footing = .none
        if kind == StackArena.defaultClass, let processor = cell.processor {
            while !processor.cell.stacks.give(goroutine.cell.stackSlot) {
                processor.cell.stacks.drainHalf(into: &SchedulerCore.running.cell.stacks, kind: kind)
            }
        } else {
            SchedulerCore.running.cell.stacks.give(kind, CollectionOfOne(goroutine.cell.stackSlot))
        }
    }

    /// Ends the life of a goroutine that has no stack any more.
    @inline(__always)
    func recycle(_ goroutine: GoroutineRef) {
        goroutine.check(.running, before: "it ends")
        goroutine.cell.status = .free
        guard let processor = cell.processor else { return SchedulerCore.running.recycle(goroutine) }
        processor.cell.ended.store(processor.cell.ended.load(ordering: .relaxed) &+ 1, ordering: .releasing)
        processor.recycle(goroutine)
    }
}
