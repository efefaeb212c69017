import CCSP
import Synchronization

// Who waits in the poller.
//
// A worker that goes to sleep attends the poller if it is in use and nobody does: it waits there and not on its futex, for events as for whoever
// gives it a processor, who breaks the wait by the backend's `interrupt`. At most one attends: an interruption reaches whoever waits, and must
// find the right one. `isAttended` is set under the idle lock, before the worker is on the idle list, and cleared by that worker when it will not wait
// there again: once it has a processor.
//
// Nobody who waits for a descriptor is forgotten, since while the poller is in use: no worker is awake ⇒ the poller is attended.
// - A worker that lowers `awake` does so under the idle lock and then attends, if nobody does. If somebody does, he is asleep there; or he has a
//   processor, and so is counted in `awake`, which is not 0; or he has come out with events, and will raise `awake` for the processor that is idle now,
//   since he clears `isAttended` only after that.
// - Who gives a processor up and goes on without (`release`) wakes a worker if he has left `awake` at 0 and finds the poller unattended.
// - When the poller comes into use all may be asleep on their futexes: `usePoller` wakes one, under the idle lock. Who goes to sleep after that sees
//   that it is in use.
// An awake worker looks before it sleeps, and now and then while it is busy. If it computes for long instead, events are not forgotten, only late: the
// monitor sees that nobody has looked for a doze, and treats them as it does goroutines that wait.
//
// An event may be told to one thread and be handled later than one that came after it: handling is to make ready whoever waits, or else to note that
// a try may succeed, and for both the order does not matter.
extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Before the first descriptor is watched. 0, or an error's number.
    func usePoller() -> Int32 {
        if cell.poller.isInUse.load(ordering: .acquiring) { return 0 }
        cell.idleLock.lock()
        let error = cell.poller.open()
        cell.idleLock.unlock()
        if error == 0 { wakeWorker() }
        return error
    }

    /// Guarded by the idle lock, by a worker that goes to sleep: whether it attends.
    func mayAttend() -> Bool {
        guard cell.poller.wantsLooks else { return false }
        cell.poller.isAttended.store(true, ordering: .relaxed)
        return true
    }

    /// Whether all might sleep while nobody attends.
    var isPollerForsaken: Bool { cell.poller.wantsLooks && cell.awake.load(ordering: .sequentiallyConsistent) == 0 }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Asleep in the poller. True if there were events, and it has got a processor for those who waited for them. Without one, they go to the global
    /// queue: all processors are busy, or somebody has just given this worker one and is about to interrupt.
    func attend(atMost nanoseconds: Int64) -> Bool {
        var hasRisen = false
        _ = SchedulerCore.running.cell.poller.wait(atMost: nanoseconds) { hasRisen = rise() }
        return hasRisen
    }

    /// Back in the loop, with a processor.
    func endAttendance() {
        guard cell.attends else { return }
        cell.attends = false
        SchedulerCore.running.cell.poller.isAttended.store(false, ordering: .releasing)
    }
}
