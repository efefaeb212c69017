import CCSP
import Synchronization

/// What a goroutine asks of its worker as it leaves.
enum Outcome: UInt8 {
    case park, yield, exit
}

/// What the worker releases once the goroutine is off its stack: only then may others see the waiter.
@usableFromInline
enum Release {
    case nothing
    case channel(ChannelRef)
    case lock(LockWord)
    case selection(SelectLocks)

    @inline(__always)
    func now() {
        switch self {
        case .nothing: break
        case .channel(let channel): channel.unlock()
        case .lock(let lock): lock.unlock()
        case .selection(let locks): locks.unlockAll()
        }
    }
}

/// An OS thread that runs goroutines. Immortal.
@safe
struct WorkerCell: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    // Must be first: the switch addresses it by the cell.
    var context = unsafe csp_context()
    // Owner only, while it runs.
    var processor: ProcessorRef?
    var current: GoroutineRef?
    var outcome = Outcome.park
    var release = Release.nothing
    /// The addresses, on this thread, of the Swift runtime's state that travels with goroutines.
    var stateWords: ThreadStateWords
    var lingerNanoseconds: Int64 = 50_000
    // Guarded by the idle lock.
    var nextIdle: WorkerRef?
    var isIdle = false
    var watchesTimers = false
    // Shared.
    /// 1 once a processor was assigned to a sleeping worker. The futex it sleeps on.
    let wakeUp = Atomic<UInt32>(0)

    init() { stateWords = ThreadStateWords() }
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

    /// The worker's whole life: find a goroutine, switch into it, deal with how it came back.
    func run() -> Never {
        csp_install_signal_stack()
        unsafe csp_current_thread_record().pointee.worker = UnsafeMutableRawPointer(pointer)
        cell.stateWords.locate()
        while true {
            let goroutine = findGoroutine()
            prepare(goroutine)
            enter(goroutine)
            switch cell.outcome {
            case .park: cell.release.now()
            case .yield: finishYield(goroutine)
            case .exit: finishExit(goroutine)
            }
        }
    }

    /// Gives a new goroutine its stack, and makes it ours.
    @inline(__always)
    private func prepare(_ goroutine: GoroutineRef) {
        if !goroutine.cell.hasStack { bindStack(goroutine) }
        goroutine.cell.status = .running
        goroutine.cell.worker = self
        cell.current = goroutine
        let tick = cell.processor!.cell.tick.load(ordering: .relaxed)
        cell.processor!.cell.tick.store(tick &+ 1, ordering: .relaxed)
    }

    @inline(__always)
    private func enter(_ goroutine: GoroutineRef) {
        if goroutine.cell.hasSavedState { goroutine.restoreState(into: cell.stateWords) }
        // SAFETY: contexts are the first fields of their cells; the goroutine is ours, so nobody else is on its stack.
        unsafe csp_enter(
            UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: csp_context.self),
            UnsafeMutableRawPointer(goroutine.pointer).assumingMemoryBound(to: csp_context.self))
        if cell.stateWords.anySet { goroutine.saveState(from: cell.stateWords) }
        cell.current = nil
    }

    @inline(__always)
    private func finishYield(_ goroutine: GoroutineRef) {
        goroutine.cell.status = .runnable
        cell.processor!.enqueue(goroutine)
    }

    @inline(never)
    private func bindStack(_ goroutine: GoroutineRef) {
        let processor = cell.processor!
        let kind = Int(goroutine.cell.stackClass)
        var slot: Int32 = -1
        let isDefault = kind == StackArena.defaultShift - StackArena.smallestShift
        if isDefault, let cached = processor.cell.stacks.take() {
            slot = cached
        } else {
            unsafe SchedulerCore.shared.cell.stacks.take(kind, isDefault ? 16 : 1) { taken in
                if slot < 0 { slot = taken } else { _ = processor.cell.stacks.give(taken) }
            }
        }
        goroutine.cell.stackSlot = slot
        goroutine.cell.hasStack = true
        let size = UInt(1) << UInt(StackArena.smallestShift + kind)
        // Coloured tops: stacks that all began at the same offset would share a few cache sets.
        let colour = UInt(slot & 31) * 64
        let top = unsafe SchedulerCore.shared.cell.stacks.base(kind, slot) + size - colour
        unsafe withUnsafePointer(to: csp_get_arena().pointee.owners) {
            let table = unsafe UnsafeRawPointer($0).load(
                fromByteOffset: kind * 8, as: UnsafeMutablePointer<UnsafeMutableRawPointer?>.self)
            unsafe table[Int(slot)] = UnsafeMutableRawPointer(goroutine.pointer)
        }
        unsafe csp_context_prepare(
            UnsafeMutableRawPointer(goroutine.pointer).assumingMemoryBound(to: csp_context.self),
            UnsafeMutableRawPointer(bitPattern: top))
    }

    @inline(__always)
    private func finishExit(_ goroutine: GoroutineRef) {
        let processor = cell.processor!
        let kind = Int(goroutine.cell.stackClass)
        if kind == StackArena.defaultShift - StackArena.smallestShift {
            while !processor.cell.stacks.give(goroutine.cell.stackSlot) {
                unsafe processor.cell.stacks.drainHalf(into: &SchedulerCore.shared.cell.stacks, kind: kind)
            }
        } else {
            unsafe SchedulerCore.shared.cell.stacks.give(kind, CollectionOfOne(goroutine.cell.stackSlot))
        }
        goroutine.cell.hasStack = false
        goroutine.cell.status = .free
        processor.cell.ended.store(processor.cell.ended.load(ordering: .relaxed) &+ 1, ordering: .releasing)
        processor.recycle(goroutine)
    }
}
