import CCSP
import Synchronization

// A goroutine that is locked to its thread: the worker runs no other, and no other worker runs it.
//
// The worker waits for its goroutine without a processor. Whichever worker finds the goroutine runnable gives it back together with its own processor
// (`giveBack`), and looks for another one. All of that under the idle lock, so that either the goroutine's worker waits already and is
// woken, or it finds the goroutine in `returned` before it waits.

extension Goroutine {
    // SAFETY: (whole type) the runtime is immortal.
    /// Keeps this goroutine on one OS thread, and that thread to it, while `body` runs (Go's `LockOSThread`): for C libraries that keep
    /// state in thread locals. May be nested. On a plain thread it just runs `body`.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    /// - Complexity: Costs nothing by itself, but each wait inside hands the processor to another thread and back (two wake-ups of threads).
    @available(*, noasync)
    public static func withLockedThread<T: ~Copyable, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        guard let goroutine = GoroutineRef.current else { return try body() }
        RaceDetector.ignoring { goroutine.lockThread() }
        defer { RaceDetector.ignoring { goroutine.unlockThread() } }
        return try body()
    }
}

extension GoroutineRef {
    @inline(never)
    fileprivate func lockThread() {
        cell.lockDepth += 1
        guard cell.lockDepth == 1 else { return }
        let worker = cell.worker!
        cell.lockedTo = worker
        cell.footing = .locked
        worker.cell.returnsToLoop.insert(.locked)
    }

    @inline(never)
    fileprivate func unlockThread() {
        cell.lockDepth -= 1
        guard cell.lockDepth == 0 else { return }
        cell.worker!.cell.returnsToLoop.remove(.locked)
        cell.footing = cell.isInFamily ? .member : .own
        cell.lockedTo = nil
    }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// In the worker's loop: the goroutine that this thread is locked to, once it is runnable, and a processor.
    func waitForLocked() -> GoroutineRef? {
        cell.leftAt = 0
        let core = SchedulerCore.running
        core.cell.idleLock.lock()
        while true {
            if let goroutine = cell.returned {
                cell.returned = nil
                if cell.processor != nil || takeBack() {
                    core.cell.idleLock.unlock()
                    return goroutine
                }
                // Whoever takes it from there brings a processor.
                core.cell.idleLock.unlock()
                goroutine.submit()
                core.cell.idleLock.lock()
            } else if let processor = cell.processor {
                cell.processor = nil
                let next = core.release(processor)
                core.cell.idleLock.unlock()
                core.follow(next)
                core.cell.idleLock.lock()
            } else {
                cell.waitsForLocked = true
                core.cell.sleepers += 1
                let allSleep = core.cell.sleepers == core.cell.workers
                // Without a processor the goroutine may have set a timer while everybody else went to sleep.
                let isForgotten =
                    core.cell.awake.load(ordering: .sequentiallyConsistent) == 0
                    && (core.earliestDeadline() < core.cell.watchedDeadline
                        || core.cell.global.count.load(ordering: .sequentiallyConsistent) > 0)
                core.cell.idleLock.unlock()
                if isForgotten { core.wakeWorker() }
                if allSleep { core.checkDeadlock() }
                // SAFETY: workers are immortal.
                while cell.wakeUp.load(ordering: .acquiring) == 0 { unsafe csp_futex_wait(futexWord, 0, -1) }
                cell.wakeUp.store(0, ordering: .relaxed)
                core.cell.idleLock.lock()
            }
        }
    }

    /// In the worker's loop, for a runnable goroutine that another thread must run: gives that one our processor too, if it waits.
    func giveBack(_ goroutine: GoroutineRef) {
        let core = SchedulerCore.running
        let owner = goroutine.cell.lockedTo!
        core.cell.idleLock.lock()
        owner.cell.returned = goroutine
        guard owner.cell.waitsForLocked else { return core.cell.idleLock.unlock() }
        owner.cell.waitsForLocked = false
        core.cell.sleepers -= 1
        let processor = cell.processor!
        cell.processor = nil
        processor.cell.worker = nil
        owner.own(processor)
        core.cell.idleLock.unlock()
        owner.wake()
    }
}
