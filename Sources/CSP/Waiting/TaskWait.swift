import CCSP
import Synchronization

// How a Swift task waits: as a select, with its cancellation as one more that may claim the selection. What the others need of it is in one
// allocation, since an async function's own variables have no address that others could keep.
//
// Who resumes the task, exactly once:
// - A case that is ready while the task is about to suspend, with the locks: the task itself, within the closure that has the continuation. Nobody
//   else knows of the wait but the cancellation, which finds that nothing is queued and does nothing.
// - Who claims the selection through a waiter or a timer. That takes a lock which the task holds until all is in its place.
// - The cancellation, which comes without any lock, perhaps before the task has queued. Both it and the task exchange `phase`. Who comes second has
//   seen what the first did before. If that is the cancellation, all is in its place, and it claims the selection as others do. If it is the task,
//   it has been cancelled before anybody could complete it, and claims the selection itself while it holds the locks.
// Nothing of the wait is touched by whoever resumes once he has. Nor by a cancellation that comes late: when `withTaskCancellationHandler` returns,
// its handler has returned or will never run.

/// A task's wait. The entries, the waiters and the slots follow in the same memory.
@usableFromInline
@safe
struct TaskWait: ~Copyable {
    // SAFETY: (whole type) the task that waits keeps it until the wait is over.
    fileprivate let entries: UnsafeMutableBufferPointer<_SelectEntry>
    fileprivate let slots: UnsafeMutableRawPointer
    fileprivate var continuation: UnsafeContinuation<Void, Never>?
    /// The case that the task has completed itself, or -1.
    fileprivate var completed = -1
    fileprivate let phase = Atomic<UInt8>(Phase.idle)

    fileprivate enum Phase {
        static var idle: UInt8 { 0 }
        static var queued: UInt8 { 1 }
        static var cancelled: UInt8 { 2 }
    }
}

/// A task's wait by reference.
@usableFromInline
@safe
@frozen
struct TaskWaitRef: @unchecked Sendable {
    // SAFETY: (whole type) the task that waits keeps the memory until the wait is over, and what the entries point to.
    @usableFromInline let pointer: UnsafeMutablePointer<TaskWait>

    private var cell: TaskWait {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    private static var selectOffset: Int { (MemoryLayout<TaskWait>.size + 15) & ~15 }
    private static var entriesOffset: Int { (selectOffset + MemoryLayout<SelectWait>.size + 15) & ~15 }

    private var select: SelectWaitRef {
        unsafe SelectWaitRef(
            (UnsafeMutableRawPointer(pointer) + Self.selectOffset).assumingMemoryBound(to: SelectWait.self))
    }
    private var waiters: UnsafeMutablePointer<Waiter> {
        let entries = unsafe UnsafeMutableRawPointer(cell.entries.baseAddress!)
        return unsafe (entries + cell.entries.count * MemoryLayout<_SelectEntry>.stride)
            .assumingMemoryBound(to: Waiter.self)
    }

    /// For a select of `count` cases; their entries and slots are for the caller to initialise.
    @usableFromInline
    init(count: Int, slotsSize: Int, slotsAlignment: Int) {
        let alignment = max(16, slotsAlignment)
        let waitersEnd =
            Self.entriesOffset + count * (MemoryLayout<_SelectEntry>.stride + MemoryLayout<Waiter>.stride)
        let slotsOffset = (waitersEnd + alignment - 1) & ~(alignment - 1)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: slotsOffset + slotsSize, alignment: alignment)
        unsafe pointer = memory.assumingMemoryBound(to: TaskWait.self)
        let entries = unsafe (memory + Self.entriesOffset).assumingMemoryBound(to: _SelectEntry.self)
        unsafe pointer.initialize(
            to: TaskWait(
                entries: UnsafeMutableBufferPointer(start: entries, count: count), slots: memory + slotsOffset))
    }

    @usableFromInline var entries: UnsafeMutablePointer<_SelectEntry> { unsafe cell.entries.baseAddress! }
    @usableFromInline var slots: UnsafeMutableRawPointer { unsafe cell.slots }

    @usableFromInline
    func deallocate() { unsafe UnsafeMutableRawPointer(pointer).deallocate() }

    /// Chooses a case that is ready, and returns its place, with its lock held; or queues and returns -1, after which the task goes on as soon as
    /// it likes, and nothing here is the caller's any more. There must be no default.
    @usableFromInline
    func start(_ continuation: UnsafeContinuation<Void, Never>, isPrioritized: Bool) -> Int {
        unsafe withLocks(of: cell.entries) { locks, special, processor in
            if let chosen = unsafe locks.chooseReady(cell.entries, isPrioritized) {
                return SelectOutcome(place: chosen, isDone: false)
            }
            let select = select
            let isTimed = special.after >= 0
            unsafe select.initialize(cell.entries, waiters, special, .task(self))
            select.queue(processor)
            let deadline = select.deadline
            unsafe cell.continuation = unsafe continuation
            if RaceDetector.isOn { unsafe csp_race_release(pointer) }
            let isCancelled =
                cell.phase.exchange(TaskWait.Phase.queued, ordering: .acquiringAndReleasing) == TaskWait.Phase.cancelled
            if isCancelled { _ = unsafe select.selection.pointee.claim(Int32(Selection.cancelled)) }
            locks.unlockAll()
            if isCancelled {
                unsafe continuation.resume()
            } else if isTimed {
                SchedulerCore.timerSubmitted(deadline)
            }
            return SelectOutcome(place: -1, isDone: false)
        }.place
    }

    /// From within the closure that has the continuation: a case that `start` returned is completed.
    @usableFromInline
    func complete(_ place: Int, _ continuation: UnsafeContinuation<Void, Never>) {
        cell.completed = place
        unsafe continuation.resume()
    }

    /// Of the waiting task.
    @usableFromInline
    func cancel() {
        let old = cell.phase.exchange(TaskWait.Phase.cancelled, ordering: .acquiringAndReleasing)
        guard old == TaskWait.Phase.queued else { return }
        if unsafe select.selection.pointee.claim(Int32(Selection.cancelled)) { resume() }
    }

    /// By whoever has claimed the selection, without locks but for that of a timer heap: what the task's executor does may be anything, so who
    /// fires timers leaves that to a goroutine.
    func resume() {
        if GoroutineRef.current == nil, WorkerRef.current != nil { go { resumeHere() } } else { resumeHere() }
    }

    private func resumeHere() {
        // The claim orders the two, but whoever fires timers does so unseen.
        if RaceDetector.isOn { unsafe csp_race_acquire(pointer) }
        unsafe RaceDetector.resume(cell.continuation!, pointer)
    }

    /// When the task goes on: the place of the case that was completed, or `Selection.cancelled`.
    @usableFromInline
    func end() -> Int {
        if cell.completed >= 0 { return cell.completed }
        unsafe RaceDetector.hasResumed(pointer)
        return select.end()
    }
}
