import CCSP
import Synchronization

extension ProcessorRef {
    /// Fires what is due in this heap; any worker may.
    @inline(never)
    func runTimers(at now: Int64) {
        guard cell.timers.earliest.load(ordering: .relaxed) <= now else { return }
        cell.timers.lock.lock()
        cell.timers.run(at: now)
        cell.timers.lock.unlock()
    }
}

extension TimerNode {
    /// Arms an idle node for `deadline` on the caller's processor, or on any when called from outside. Returns with the heap's lock
    /// held when `keepingLock`, for callers who park on it.
    static func arm(_ node: UnsafeMutablePointer<TimerNode>, at deadline: Int64) {
        let core = SchedulerCore.shared
        let inside = GoroutineRef.current
        let processor = inside?.cell.worker?.cell.processor ?? core.processor(0)
        // SAFETY: the node's owner keeps it until it is off the heap.
        processor.cell.timers.lock.lock()
        unsafe node.pointee.deadline = deadline
        unsafe node.pointee.heap.store(processor.cell.index, ordering: .releasing)
        unsafe processor.cell.timers.insert(node)
        processor.cell.timers.lock.unlock()
        if inside == nil { core.timerSubmitted(deadline) }
    }

    /// Takes the node off its heap. True if it was there, and so will not fire; once this returns it is not firing either.
    static func disarm(_ node: UnsafeMutablePointer<TimerNode>) -> Bool {
        // SAFETY: as above.
        let index = unsafe node.pointee.heap.load(ordering: .acquiring)
        guard index >= 0 else { return false }
        let processor = SchedulerCore.shared.processor(index)
        processor.cell.timers.lock.lock()
        defer { processor.cell.timers.lock.unlock() }
        return unsafe processor.cell.timers.remove(node)
    }
}

extension SchedulerCore {
    /// After a thread outside has put a timer in: whoever is awake looks at the heaps before it sleeps; if nobody is, or the one who
    /// watches the clock would sleep too long, wake one. The proof is that of Idle.swift with the heap's first deadline
    /// in place of the queue's count.
    func timerSubmitted(_ deadline: Int64) {
        if cell.awake.load(ordering: .sequentiallyConsistent) > 0 { return }
        cell.idleLock.lock()
        let late = deadline < cell.watchedDeadline
        cell.idleLock.unlock()
        if late { wakeWorker() }
    }
}
