import CCSP
import Synchronization

/// The monitor's eye on the processors: what it saw at its last look.
struct ProcessorWatch {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    private struct Sight {
        var tail: UInt32 = 0
        var tick: UInt64 = 0
        var next: UInt = 0
        /// Since when the tick has been the same.
        var since: Int64 = 0
        /// When, and how much its thread had run by then; -1 when that was not of interest.
        var time: Int64 = 0
        var cpuTime: Int64 = -1
    }
    private var sights: [Sight] = []
    private var globalWaited = false
    private var pollWatch = PollWatch()
    private var last: Int64 = 0
    /// How long to wait until the next look, if all processors are busy.
    private(set) var delay = Monitor.doze
    private var inVain = 0

    /// Acts on what lasts. True when anything waits.
    mutating func look(_ core: SchedulerCore) -> Bool {
        let now = csp_now()
        csp_set_coarse_now(now)
        let isNeglected = core.cell.poller.isNeglected(&pollWatch, now)
        let globalWaits =
            core.cell.global.count.load(ordering: .relaxed) > 0 || core.cell.mailbox.isFull || isNeglected
        let isLate = core.earliestDeadline() < now - Monitor.period
        let anyIdle = core.cell.idleProcessors.load(ordering: .sequentiallyConsistent) > 0
        // Two looks in quick succession say nothing about what lasts.
        let isSoon = now < last + Monitor.period / 2
        if !isSoon { last = now }
        var waiting = globalWaits, lasting = globalWaits && globalWaited
        if !isSoon { globalWaited = globalWaits }
        var handedOn = false
        for index in 0..<core.cell.processorCount.load(ordering: .acquiring) {
            if index == sights.count { sights.append(Sight()) }
            let one = core.processor(index)
            let head = one.cell.queue.head.load(ordering: .acquiring)
            let last = sights[index]
            var sight = unsafe Sight(
                tail: one.cell.queue.tail.load(ordering: .acquiring), tick: one.cell.tick.load(ordering: .relaxed),
                next: UInt(bitPattern: one.cell.runNext.load(ordering: .relaxed)), since: now, time: now)
            let moves = sight.tick != last.tick
            if !moves { sight.since = last.since }
            let hasWaiting = head != sight.tail || sight.next != 0
            if hasWaiting { waiting = true }
            if Int32(bitPattern: last.tail &- head) > 0 { lasting = true }
            if sight.next != 0, sight.next == last.next, !moves { lasting = true }
            if !anyIdle, !moves, hasWaiting || globalWaits || isLate {
                handedOn = watchRun(one, last, &sight, now, core, isNeglected) || handedOn
            }
            // What lasts is judged over a whole period, what blocks from look to look.
            if isSoon {
                sights[index].time = sight.time
                sights[index].cpuTime = sight.cpuTime
            } else {
                sights[index] = sight
            }
        }
        if (lasting && !isSoon) || isLate, anyIdle { core.wakeWorker() }
        adapt(handedOn)
        return waiting
    }

    /// Hands a processor on, for which something waits, when its goroutine blocks in the kernel or has computed for too long. True if it blocked.
    private mutating func watchRun(
        _ processor: ProcessorRef, _ last: Sight, _ sight: inout Sight, _ now: Int64, _ core: SchedulerCore,
        _ mustLook: Bool
    ) -> Bool {
        guard let worker = processor.cell.worker else { return false }
        let thread = worker.cell.threadID.load(ordering: .relaxed)
        // Not running yet.
        guard thread > 0 else { return false }
        sight.cpuTime = csp_thread_cpu_time(thread)
        // A thread that ran less than an eighth of the time is not computing; it may only be waiting for a CPU, though, and the kernel knows.
        let seemsBlocked =
            last.cpuTime >= 0 && now - last.time >= Monitor.shortest / 2
            && (sight.cpuTime - last.cpuTime) * 8 < now - last.time
        let isBlocked = seemsBlocked && csp_thread_is_blocked(thread)
        guard isBlocked || now - sight.since >= Monitor.longestRun, worker.claim(owning: processor) else {
            return false
        }
        guard processor.cell.tick.load(ordering: .relaxed) == sight.tick else {
            worker.endClaim()
            return false
        }
        core.handOn(processor, of: worker)
        // The processor is idle now, if only events wait.
        if mustLook { core.wakeWorker() }
        sight.since = now
        sight.cpuTime = -1
        return isBlocked
    }

    private mutating func adapt(_ handedOn: Bool) {
        if handedOn {
            delay = Monitor.shortest
            inVain = 0
        } else if delay < Monitor.doze {
            inVain += 1
            if inVain >= Monitor.looksInVain { delay = min(delay * 2, Monitor.doze) }
        }
    }
}

extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// One line, as Go's GODEBUG=schedtrace: processors, threads, and the lengths of the global and the local queues.
    func printTrace(milliseconds: Int64) {
        cell.idleLock.lock()
        let workers = cell.workers, sleepers = cell.sleepers
        cell.idleLock.unlock()
        var queues = ""
        let count = cell.maxProcs.load(ordering: .relaxed)
        for index in 0..<count {
            let one = processor(index)
            let next = unsafe one.cell.runNext.load(ordering: .relaxed) == nil ? 0 : 1
            queues += (index == 0 ? "" : " ") + "\(one.cell.queue.count + next)"
        }
        printError(
            "SCHED \(milliseconds)ms: maxprocs=\(count) idleprocs=\(cell.idleProcessors.load(ordering: .relaxed)) "
                + "threads=\(workers) idlethreads=\(sleepers) goroutines=\(goroutineCount) "
                + "runqueue=\(cell.global.count.load(ordering: .relaxed)) [\(queues)]\n")
    }
}
