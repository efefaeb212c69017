import CCSP
import Synchronization

// When no goroutine can ever run again.
//
// Looked for by whoever may be the last to go to sleep: a worker, a plain thread that waits (ThreadParker.wait), and the monitor now and then.
// With the idle lock held, no worker can be woken, and nothing can happen any more if all of this holds:
// - every worker sleeps: none runs a goroutine, with a processor or without, and none looks for one
// - no processor, not the mailbox and not the global queue has a goroutine, which follows for the former two (Idle.swift, facts 1 and 2)
// - no timer is set, and nobody waits for a descriptor
// - every thread of the process is one of the runtime's own that sleeps until somebody asks, or waits in ThreadParker.wait.
// The last needs care, for a thread that has been signalled but has not run yet must not count as waiting. So it counts itself once it is asleep, and
// whoever signals it takes that back before doing anything else, a sleep above all. Whoever signals is awake meanwhile: a foreign thread that does not
// count as waiting, or a worker. The number may be too low for a moment, then there seems to be a foreign thread, and we are silent; it is never too high.
// The same holds for the number of the runtime's threads.
extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Without locks. Ends the process when all goroutines are asleep for good.
    @inline(never)
    func checkDeadlock() {
        // The foreign thread may end, and then nobody else looks again.
        if endIfDeadlocked() { cell.monitor.lookAgain() }
    }

    /// Does not return if there is a deadlock. True if only a foreign thread can end the silence.
    func endIfDeadlocked() -> Bool {
        guard cell.awake.load(ordering: .sequentiallyConsistent) == 0, isAnybodyStuck,
            cell.poller.waiting.load(ordering: .sequentiallyConsistent) == 0
        else { return false }
        cell.idleLock.lock()
        let isQuiet =
            cell.sleepers == cell.workers && cell.awake.load(ordering: .sequentiallyConsistent) == 0
            && cell.global.count.load(ordering: .sequentiallyConsistent) == 0 && earliestDeadline() == .max
            && cell.poller.waiting.load(ordering: .sequentiallyConsistent) == 0
        let isOver = isQuiet && foreignThreads == 0 && isAnybodyStuck
        cell.idleLock.unlock()
        if isOver {
            if !cell.isEnding.exchange(true, ordering: .acquiringAndReleasing) { Dump.endInDeadlock() }
        }
        return isQuiet && !isOver
    }

    private var isAnybodyStuck: Bool { goroutineCount > 0 || ThreadParker.asleepCount.load(ordering: .relaxed) > 0 }

    /// Threads that may do anything. Not zero where that is not known.
    private var foreignThreads: Int32 {
        let all = csp_process_threads()
        return all == 0 ? 1 : all - csp_own_threads() - ThreadParker.asleepCount.load(ordering: .sequentiallyConsistent)
    }
}
