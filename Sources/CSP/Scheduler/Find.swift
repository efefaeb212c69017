import CCSP
import Synchronization

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// How often a processor looks at the global queue first, so that a full local queue cannot starve it. Prime, as Go's.
    private static var globalTick: UInt64 { 61 }
    /// How many goroutines in a row may run from run-next while the queue waits.
    private static var longestStreak: UInt32 { 256 }

    /// The next goroutine to run; sleeps when there is none. Nil when the thread is not needed any more.
    @inline(__always)
    func findGoroutine() -> GoroutineRef? {
        if let handed = cell.handed {
            cell.handed = nil
            return handed
        }
        guard let processor = cell.processor else { return findGoroutineSlow(0) }
        let tick = processor.cell.tick.load(ordering: .relaxed)
        if processor.mustLookFurther { return findGoroutineSlow(tick) }
        return takeLocal(processor) ?? findGoroutineSlow(tick)
    }

    /// For a goroutine that leaves: the next one of the processor's own, made ready to be switched into. Nil when the worker has to do that, or
    /// had better look further.
    @inline(__always)
    func takeAtOnce(_ processor: ProcessorRef?) -> GoroutineRef? {
        guard let processor, let next = takeNearest(processor) else { return nil }
        if next.cell.footing != .own,
            next.cell.footing != .none || next.cell.isInFamily || !bindCachedStack(next, processor)
        {
            cell.handed = next
            return nil
        }
        begin(next, processor)
        return next
    }

    /// For a goroutine that ends: the next one, if it can have the same stack.
    @inline(__always)
    func takeFresh(_ processor: ProcessorRef, like ending: GoroutineRef) -> GoroutineRef? {
        guard let next = takeNearest(processor) else { return nil }
        if next.cell.footing != .none || next.cell.stackClass != ending.cell.stackClass || next.cell.isInFamily {
            cell.handed = next
            return nil
        }
        return next
    }

    @inline(__always)
    private func takeNearest(_ processor: ProcessorRef) -> GoroutineRef? {
        if let handed = cell.handed {
            cell.handed = nil
            return handed
        }
        return processor.mustLookFurther ? nil : takeLocal(processor)
    }

    @inline(__always)
    private func takeLocal(_ processor: ProcessorRef) -> GoroutineRef? {
        if processor.cell.runNextStreak < Self.longestStreak, let next = processor.takeRunNext() {
            processor.cell.runNextStreak &+= 1
            return next
        }
        processor.cell.runNextStreak = 0
        if let next = processor.cell.queue.pop() {
            if !processor.cell.queue.isEmpty { SchedulerCore.running.cell.monitor.noteWaiting() }
            return next
        }
        return processor.takeRunNext()
    }

    @inline(never)
    private func findGoroutineSlow(_ tick: UInt64) -> GoroutineRef? {
        let core = SchedulerCore.running
        cell.leftAt = 0
        while true {
            guard let processor = cell.processor else {
                // Taken away, or given away.
                if !getProcessor() { return nil }
                continue
            }
            if processor.cell.isRetired.load(ordering: .relaxed) {
                processor.surrender()
                if !sleep() { return nil }
                continue
            }
            if core.earliestDeadline() != .max { _ = runDueTimers(processor, core, csp_now()) }
            if tick % Self.globalTick < 16 {
                if core.cell.poller.wantsLooks { _ = core.cell.poller.look() }
                if let one = takeGlobal(processor, most: 1) { return one }
            }
            if let local = takeLocal(processor) { return local }
            if let one = takeGlobal(processor, most: 128) { return one }
            if core.cell.poller.wantsLooks, core.cell.poller.look(), let one = takeLocal(processor) { return one }
            if let found = linger(processor, core) { return found }
            if processor.isEmpty, !sleep() { return nil }
        }
    }

    /// A fair share of the global queue; the first is returned, the others join the local queue. Or else what was posted to somebody who does not come to take it.
    private func takeGlobal(_ processor: ProcessorRef, most: Int) -> GoroutineRef? {
        let core = SchedulerCore.running
        let waiting = core.cell.global.count.load(ordering: .relaxed)
        guard waiting > 0 else { return core.cell.mailbox.take() }
        let share = min(most, waiting / core.cell.maxProcs.load(ordering: .relaxed) + 1)
        var first: GoroutineRef?
        // Without overflow, which would need the lock that is held: the local queue is empty, or only one is taken.
        core.cell.global.take(share) { next in
            if first == nil { first = next } else { processor.enqueue(next) }
        }
        return first
    }

    /// Waits a little for work before sleeping, since waking costs 45 µs: for anything in the mailbox or the global queue, for due timers, and for
    /// other processors' goroutines that have waited for the whole of a watch. Fresh ones are left alone: they are most often partners of
    /// the goroutine that runs there, whose data is in that core's cache.
    ///
    /// Not where goroutines wait for descriptors and this has been in vain: then most of what is to come are events, and for those the kernel wakes who
    /// sleeps in the poller (measured with an echo server: a quarter of its CPU time, and half of it when it was not busy). Once somebody has woken this
    /// worker it lingers again, and so can take what waits elsewhere.
    private func linger(_ processor: ProcessorRef, _ core: SchedulerCore) -> GoroutineRef? {
        let limit =
            awaitsEvents(core) ? cell.lingerNanoseconds : max(cell.lingerNanoseconds, Self.shortestLinger)
        if limit == 0 { return nil }
        var hasMailbox = core.cell.mailbox.open()
        let found = linger(atMost: limit, &hasMailbox, processor, core)
        guard hasMailbox, let posted = core.cell.mailbox.close() else { return found }
        core.cell.monitor.noteAwake()
        guard let found else { return posted }
        processor.enqueue(posted)
        return found
    }

    @inline(__always)
    private func linger(
        atMost limit: Int64, _ hasMailbox: inout Bool, _ processor: ProcessorRef, _ core: SchedulerCore
    ) -> GoroutineRef? {
        let start = csp_now()
        var watchStart = start
        var watch = QueueWatch()
        watch.begin(core)
        while true {
            for _ in 0..<32 {
                csp_pause()
                if hasMailbox, !core.cell.mailbox.isOpen {
                    hasMailbox = false
                    if let one = core.cell.mailbox.take() {
                        // It may have been asleep with all others, and compute from now on.
                        core.cell.monitor.noteAwake()
                        lingerPaid(core)
                        return one
                    }
                }
                if core.cell.global.count.load(ordering: .relaxed) > 0, let one = takeGlobal(processor, most: 128) {
                    lingerPaid(core)
                    return one
                }
            }
            if processor.cell.isRetired.load(ordering: .relaxed) { return nil }
            let now = csp_now()
            if now - watchStart >= QueueWatch.nanoseconds {
                if let stolen = watch.steal(core, into: processor) {
                    lingerPaid(core)
                    return stolen
                }
                watch.begin(core)
                watchStart = now
            }
            if runDueTimers(processor, core, now), let one = takeLocal(processor) { return one }
            if core.cell.poller.wantsLooks, core.cell.poller.look(), let one = takeLocal(processor) {
                lingeredInVain(core)
                return one
            }
            if now - start >= limit {
                lingeredInVain(core)
                return nil
            }
        }
    }

    /// Long enough for one watch.
    private static var shortestLinger: Int64 { QueueWatch.nanoseconds * 5 / 4 }

    private func lingerPaid(_ core: SchedulerCore) {
        let twice = max(cell.lingerNanoseconds, Self.shortestLinger) * 2
        cell.lingerNanoseconds = awaitsEvents(core) ? Self.shortestLinger : min(100_000, twice)
    }

    private func lingeredInVain(_ core: SchedulerCore) {
        let half = cell.lingerNanoseconds / 2
        cell.lingerNanoseconds = awaitsEvents(core) ? 0 : max(Self.shortestLinger, half)
    }

    /// After somebody has woken this worker: there is something for it, here or on another processor.
    func lingerOnce() { cell.lingerNanoseconds = max(cell.lingerNanoseconds, Self.shortestLinger) }

    private func awaitsEvents(_ core: SchedulerCore) -> Bool { core.cell.poller.waiting.load(ordering: .relaxed) > 0 }

    /// Runs the due timers of every processor, into our queue. True if there were any.
    private func runDueTimers(_ processor: ProcessorRef, _ core: SchedulerCore, _ now: Int64) -> Bool {
        var ran = false
        for index in 0..<core.cell.processorCount.load(ordering: .acquiring) {
            let other = core.processor(index)
            if other.cell.timers.earliest.load(ordering: .relaxed) <= now {
                other.runTimers(at: now)
                ran = true
            }
        }
        return ran
    }
}

/// What a lingering worker saw in the other processors' queues, to tell a backlog that lasts from a queue that moves.
struct QueueWatch {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    static let nanoseconds: Int64 = 25_000
    private static let most = 16
    private var tails = InlineArray<16, UInt32>(repeating: 0)
    private var ticks = InlineArray<16, UInt64>(repeating: 0)
    private var nexts = InlineArray<16, UInt>(repeating: 0)
    private var first = 0
    private var count = 0

    /// Looks at up to 16 others, starting anywhere.
    mutating func begin(_ core: SchedulerCore) {
        count = core.cell.processorCount.load(ordering: .acquiring)
        first = Int(csp_random() % UInt64(count))
        for place in 0..<min(Self.most, count) {
            let other = core.processor((first + place) % count)
            tails[place] = other.cell.queue.tail.load(ordering: .acquiring)
            ticks[place] = other.cell.tick.load(ordering: .relaxed)
            nexts[place] = unsafe UInt(bitPattern: other.cell.runNext.load(ordering: .relaxed))
        }
    }

    /// Takes what has been waiting since `begin`.
    mutating func steal(_ core: SchedulerCore, into own: ProcessorRef) -> GoroutineRef? {
        for place in 0..<min(Self.most, count) {
            let other = core.processor((first + place) % count)
            if other == own { continue }
            let ran = Int64(bitPattern: other.cell.tick.load(ordering: .relaxed) &- ticks[place])
            let waited = Int64(Int32(bitPattern: tails[place] &- other.cell.queue.head.load(ordering: .relaxed)))
            // Worth it only if they would wait for another two watches: moving goroutines from core to core costs more than many of them run for.
            // Or if one in run-next has not moved for all that time, behind one that computes.
            let isStuck = nexts[place] != 0 && ran == 0
            guard waited > 2 * ran || isStuck, let owner = other.cell.worker, owner.claim(owning: other) else {
                continue
            }
            defer { owner.endClaim() }
            if let stolen = other.cell.queue.steal(below: tails[place], into: own.cell.queue) {
                core.noteSteal(own.cell.queue.count + 1, by: own)
                return stolen
            }
            if isStuck, ticks[place] == other.cell.tick.load(ordering: .relaxed), let next = other.takeRunNext() {
                core.noteSteal(1, by: own)
                return next
            }
        }
        return nil
    }
}
