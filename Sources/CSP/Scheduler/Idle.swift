import CCSP
import Synchronization

// Who sleeps, and who wakes whom.
//
// A worker owns a processor while it is awake. One that finds nothing lingers a little, then puts its processor and itself on the
// idle lists and sleeps on a futex. Three facts keep work from being forgotten:
//
// 1. A processor with goroutines in run-next or its queue is owned by an awake worker, since a worker only gives up its processor
//    after it has found both empty, and only the owner fills them.
// 2. Work that comes from outside goes to the global queue (or a timer heap): the submitter publishes it (P: a sequentially
//    consistent store of the queue's count), then reads `awake` (R), and if that is 0 wakes a worker. A worker that goes to
//    sleep lowers `awake` (L, sequentially consistent), then reads the queue's count (C) and every heap's first deadline, and stays up
//    if there is anything. In the single total order of the four either P precedes C, and the sleeper sees the work; or C
//    precedes P, so L precedes R: the submitter sees the worker gone. If R sees another worker awake, that one will
//    pass its own L and C later than R, and so after P.
//    Or it goes to the mailbox of a worker that lingers, which is awake, and looks there before it goes on to sleep (Mailbox.swift).
// 3. An awake worker that is busy may leave others' work waiting while processors idle. That is not forgotten, only late: the
//    monitor sees a goroutine that has waited for a whole period and wakes a worker.
//
// Rejected: wake one worker per ready (Go's way): most find nothing to do, and waking costs 45 µs.
extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    // Guarded by idleLock, both.
    func makeIdle(_ processor: ProcessorRef) {
        #if INTERNAL_CHECKS
            if !processor.isEmpty || processor.cell.isIdle || processor.cell.worker != nil {
                fatal("fatal error: processor \(processor.cell.index) is not fit to be idle")
            }
        #endif
        processor.cell.isIdle = true
        processor.cell.hasWorker = false
        cell.idleProcessors.add(1, ordering: .sequentiallyConsistent)
        cell.monitor.noteIdle()
    }

    func removeIdle(_ processor: ProcessorRef) {
        processor.cell.isIdle = false
        cell.idleProcessors.subtract(1, ordering: .sequentiallyConsistent)
    }

    /// Guarded by idleLock.
    func takeIdleProcessor() -> ProcessorRef? {
        guard cell.idleProcessors.load(ordering: .relaxed) > 0 else { return nil }
        for index in 0..<cell.maxProcs.load(ordering: .relaxed) where processor(index).cell.isIdle {
            let found = processor(index)
            removeIdle(found)
            found.cell.hasWorker = true
            return found
        }
        return nil
    }

    /// Guarded by idleLock: prefers a worker that nobody counts on for timers or events.
    private func takeIdleWorker() -> WorkerRef? {
        var chosen = cell.firstIdleWorker
        while let one = chosen, one.cell.watchesTimers || one.cell.attends, let other = one.cell.nextIdle {
            chosen = other
        }
        if let chosen { unlink(chosen) }
        return chosen
    }

    /// Guarded by idleLock.
    func unlink(_ worker: WorkerRef) {
        if cell.firstIdleWorker == worker {
            cell.firstIdleWorker = worker.cell.nextIdle
        } else {
            var before = cell.firstIdleWorker!
            while before.cell.nextIdle != worker { before = before.cell.nextIdle! }
            before.cell.nextIdle = worker.cell.nextIdle
        }
        worker.cell.nextIdle = nil
        worker.cell.isIdle = false
        cell.sleepers -= 1
        if worker.cell.watchesTimers {
            worker.cell.watchesTimers = false
            cell.watchedDeadline = .max
        }
    }

    /// Guarded by idleLock: finds a sleeping worker for `processor`, or counts a new one. `start` sets it going once the lock is free.
    func assign(_ processor: ProcessorRef) -> WorkerRef? {
        guard let sleeper = takeIdleWorker() else {
            cell.workers += 1
            return nil
        }
        sleeper.own(processor)
        return sleeper
    }

    /// Gives an idle processor to a sleeping worker, or to a new thread. False when all processors are busy.
    @discardableResult
    func wakeWorker() -> Bool {
        cell.idleLock.lock()
        guard let processor = takeIdleProcessor() else {
            cell.idleLock.unlock()
            return false
        }
        cell.awake.add(1, ordering: .sequentiallyConsistent)
        let worker = assign(processor)
        cell.idleLock.unlock()
        start(worker, with: processor)
        // It may be the one who watched the clock or attended the poller, and compute from now on.
        cell.monitor.noteAwake()
        return true
    }

    /// For threads outside, after they have published work.
    func submitted() {
        if cell.awake.load(ordering: .sequentiallyConsistent) == 0 {
            wakeWorker()
        } else {
            cell.monitor.noteWaiting()
        }
    }

    /// The earliest deadline of all heaps.
    func earliestDeadline() -> Int64 {
        var earliest = Int64.max
        for index in 0..<cell.processorCount.load(ordering: .acquiring) {
            earliest = min(earliest, processor(index).cell.timers.earliest.load(ordering: .sequentiallyConsistent))
        }
        return earliest
    }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    @inline(__always)
    init?(_ raw: UnsafeMutableRawPointer?) {
        guard let raw = unsafe raw else { return nil }
        // SAFETY: only workers' addresses are stored as raw workers.
        unsafe pointer = raw.assumingMemoryBound(to: WorkerCell.self)
    }

    func wake() {
        // Before the worker can go on and change it.
        let attends = cell.attends
        cell.wakeUp.store(1, ordering: .releasing)
        if attends { return SchedulerCore.running.cell.poller.backend.interrupt() }
        // SAFETY: workers are immortal.
        unsafe csp_futex_wake(futexWord, 1)
    }

    var futexWord: UnsafePointer<UInt32> {
        unsafe withUnsafePointer(to: pointer.pointee.wakeUp) {
            unsafe UnsafeRawPointer($0).assumingMemoryBound(to: UInt32.self)
        }
    }

    /// Gives the processor up and sleeps until there is one again with something to do. Returns at once when work
    /// turns up meanwhile; false when the thread is not needed any more.
    func sleep() -> Bool {
        let core = SchedulerCore.running
        let mine = cell.processor!
        core.cell.idleLock.lock()
        cell.processor = nil
        mine.cell.worker = nil
        if mine.cell.isRetired.load(ordering: .relaxed) {
            mine.cell.hasWorker = false
        } else {
            core.makeIdle(mine)
        }
        core.cell.awake.subtract(1, ordering: .sequentiallyConsistent)
        let deadline = core.earliestDeadline()
        if core.cell.global.count.load(ordering: .sequentiallyConsistent) > 0 || deadline <= csp_now(), takeBack() {
            core.cell.idleLock.unlock()
            return true
        }
        return waitForProcessor(deadline)
    }

    /// For a worker whose processor was taken away: returns with another one; false when the thread is not needed any more.
    func getProcessor() -> Bool {
        let core = SchedulerCore.running
        core.cell.idleLock.lock()
        if takeBack() {
            core.cell.idleLock.unlock()
            return true
        }
        return waitForProcessor(.max)
    }

    /// With the idle lock, which is released.
    private func waitForProcessor(_ deadline: Int64) -> Bool {
        let core = SchedulerCore.running
        let start = sleepsSince
        defer { noteSleep(since: start) }
        cell.isIdle = true
        cell.nextIdle = core.cell.firstIdleWorker
        core.cell.firstIdleWorker = self
        core.cell.sleepers += 1
        if deadline < core.cell.watchedDeadline {
            cell.watchesTimers = true
            core.cell.watchedDeadline = deadline
        }
        var watches = cell.watchesTimers
        cell.attends = core.mayAttend()
        let attends = cell.attends
        defer { if attends { endAttendance() } }
        // More of them than there are processors, all of which may never be wanted again.
        let isSurplus = !attends && core.cell.sleepers > core.cell.maxProcs.load(ordering: .relaxed)
        let allSleep = core.cell.sleepers == core.cell.workers
        core.cell.idleLock.unlock()
        if allSleep, deadline == .max { core.checkDeadlock() }

        while cell.wakeUp.load(ordering: .acquiring) == 0 {
            let left = watches ? max(0, deadline - csp_now()) : isSurplus ? SchedulerCore.patience : -1
            if left != 0, attends {
                if attend(atMost: left) {
                    csp_set_coarse_now(csp_now())
                    return true
                }
            } else if left != 0 {
                // SAFETY: workers are immortal.
                unsafe csp_futex_wait(futexWord, 0, left)
            }
            if watches, csp_now() >= deadline {
                if rise() {
                    csp_set_coarse_now(csp_now())
                    return true
                }
                watches = false
            } else if isSurplus, !watches, cell.wakeUp.load(ordering: .acquiring) == 0, mayRetire() {
                return false
            }
        }
        cell.wakeUp.store(0, ordering: .relaxed)
        lingerOnce()
        csp_set_coarse_now(csp_now())
        return true
    }

    /// Makes an idle processor this worker's, which is asleep, or the caller.
    func own(_ processor: ProcessorRef) {
        #if INTERNAL_CHECKS
            if cell.processor != nil || processor.cell.worker != nil || processor.cell.isIdle {
                fatal("fatal error: processor \(processor.cell.index) has two workers, or a worker two processors")
            }
        #endif
        cell.processor = processor
        processor.cell.worker = self
    }

    /// Guarded by the idle lock: any idle processor will do.
    func takeBack() -> Bool {
        guard let processor = SchedulerCore.running.takeIdleProcessor() else { return false }
        own(processor)
        SchedulerCore.running.cell.awake.add(1, ordering: .sequentiallyConsistent)
        return true
    }

    /// For timers or events. False when somebody has just woken this worker, or there is no processor to run timers on (then all are busy, and
    /// look at the timers themselves).
    func rise() -> Bool {
        let core = SchedulerCore.running
        core.cell.idleLock.lock()
        defer { core.cell.idleLock.unlock() }
        guard cell.isIdle else { return false }
        guard takeBack() else {
            if cell.watchesTimers {
                cell.watchesTimers = false
                core.cell.watchedDeadline = .max
            }
            return false
        }
        core.unlink(self)
        return true
    }
}
