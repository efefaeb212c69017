import CCSP
import Synchronization

// How latencies, waits and traces come to be known, at no cost while nobody asks.
//
// `csp_watch()` says who asks. `ready` and `spawn` look at it where they would have looked for a sanitizer. Switches do not look: while somebody watches,
// each worker has a reason to have goroutines return to its loop (`LoopReasons.watched`), and the loop notes what begins and ends. A worker takes
// notice when it is in its loop, which is at most sixteen switches after the watch began (`mustLookFurther`).
//
// Times are noted in the goroutine by whoever owns it in its status: its worker when it has left and before anybody else sees it, and who makes it
// ready before others may run it. Those from before the watch began count as unknown.
enum Watch {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// A goroutine was made, and is about to be queued.
    static func isMade(_ goroutine: GoroutineRef) {
        let watch = csp_watch()
        guard watch & ~UInt32(CSP_WATCH_FIBERS) != 0 else { return }
        goroutine.cell.parkedAt = 0
        goroutine.cell.readySince = csp_now()
        goroutine.cell.readiedBy = goroutine.cell.creatorID
        guard watch & UInt32(CSP_WATCH_TRACE) != 0 else { return }
        let now = goroutine.cell.readySince
        TraceRecorder.shared.add(
            TraceEvent(
                kind: .made, start: now, end: now, goroutine: goroutine.cell.id, other: goroutine.cell.creatorID))
    }

    /// A goroutine that waits is about to be made ready, by the caller.
    static func isReady(_ goroutine: GoroutineRef) {
        let watch = csp_watch()
        guard watch & ~UInt32(CSP_WATCH_FIBERS) != 0 else { return }
        let now = csp_now()
        goroutine.cell.readySince = now
        goroutine.cell.readiedBy = GoroutineRef.current?.cell.id ?? 0
        if watch & UInt32(CSP_WATCH_MUTEX) != 0, goroutine.cell.waitReason.isLock, isCurrent(parkOf: goroutine) {
            unsafe EventProfile.mutex.note(now - goroutine.cell.parkedAt) { unsafe csp_walk_callers($0) }
        }
    }

    /// Whether a time was noted since the watch began.
    static func isCurrent(_ time: Int64) -> Bool { time != 0 && time >= csp_watch_since() }

    /// Whether a goroutine's last park was noted, and not only one before: the coarse time of the last one is never late.
    static func isCurrent(parkOf goroutine: GoroutineRef) -> Bool {
        isCurrent(goroutine.cell.parkedAt) && goroutine.cell.parkedAt >= goroutine.cell.waitingSince
    }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    @inline(never)
    func enterWatched(_ goroutine: GoroutineRef) {
        let watch = csp_watch() & ~UInt32(CSP_WATCH_FIBERS)
        if watch == 0 {
            cell.returnsToLoop.remove(.watched)
            cell.leftAt = 0
            return enterUnwatched(goroutine)
        }
        cell.returnsToLoop.insert(.watched)
        // One look at the clock less.
        let start = cell.leftAt != 0 ? cell.leftAt : csp_now(), processor = cell.processor!.cell.index
        goes(on: goroutine, start, watch)
        enterUnwatched(goroutine)
        leaves(goroutine, start, processor, watch)
        // A member's bubble has more to do before the next one goes on.
        if goroutine.cell.isInFamily { cell.leftAt = 0 }
    }

    /// A goroutine goes onto its stack.
    private func goes(on goroutine: GoroutineRef, _ now: Int64, _ watch: UInt32) {
        let ready = goroutine.cell.readySince, parked = goroutine.cell.parkedAt
        let reason = goroutine.cell.waitReason, isTraced = watch & UInt32(CSP_WATCH_TRACE) != 0
        if Watch.isCurrent(parkOf: goroutine) {
            if reason.isLock, watch & UInt32(CSP_WATCH_WAITING) != 0 {
                SchedulerCore.running.cell.counters.noteContention(now - parked)
            }
            if reason.isBlocking, watch & UInt32(CSP_WATCH_BLOCK) != 0 {
                unsafe EventProfile.block.note(now - parked) { unsafe goroutine.walkParkedStack($0) }
            }
            if isTraced { note(.waited, reason, goroutine, parked, max(parked, ready)) }
        }
        goroutine.cell.parkedAt = 0
        if Watch.isCurrent(ready) {
            if watch & UInt32(CSP_WATCH_WAITING) != 0 { cell.processor!.cell.latency.add(now - ready) }
            if isTraced { note(.wasRunnable, reason, goroutine, ready, now, goroutine.cell.readiedBy) }
        }
        cell.watchedID.store(goroutine.cell.id, ordering: .relaxed)
        cell.watchedMaker.store(unsafe UInt64(UInt(bitPattern: goroutine.cell.creatorAddress)), ordering: .relaxed)
        cell.onProcessorSince.store(now, ordering: .relaxed)
        cell.watchedSince.store(now, ordering: .relaxed)
    }

    /// A goroutine has left its stack, and is not seen by others yet.
    private func leaves(_ goroutine: GoroutineRef, _ start: Int64, _ startedOn: Int, _ watch: UInt32) {
        let now = csp_now()
        cell.leftAt = now
        let isWaiting = goroutine.cell.status == .waiting
        goroutine.cell.parkedAt = isWaiting ? now : 0
        goroutine.cell.readySince = isWaiting ? 0 : now
        goroutine.cell.readiedBy = 0
        cell.watchedSince.store(0, ordering: .relaxed)
        guard watch & UInt32(CSP_WATCH_TRACE) != 0 else { return }
        var hasEnded = false
        if case .recycle = cell.afterwards { hasEnded = true }
        // On its processor only until that was taken away.
        let lost = cell.lostProcessorAt.load(ordering: .relaxed)
        let maker = unsafe UInt64(UInt(bitPattern: goroutine.cell.creatorAddress))
        note(
            .ran, hasEnded ? .none : isWaiting ? goroutine.cell.waitReason : .yield, goroutine, start, now, maker,
            lost >= start ? -1 : startedOn)
        if lost >= start, let processor = cell.processor {
            // It has had one again since.
            note(
                .regained, hasEnded ? .none : isWaiting ? goroutine.cell.waitReason : .yield, goroutine,
                cell.onProcessorSince.load(ordering: .relaxed), now, maker, processor.cell.index)
        }
    }

    private func note(
        _ kind: TraceEvent.Kind, _ reason: WaitReason, _ goroutine: GoroutineRef, _ start: Int64, _ end: Int64,
        _ other: UInt64 = 0, _ processor: Int = -1
    ) {
        TraceRecorder.shared.add(
            TraceEvent(
                kind: kind, reason: reason, processor: Int16(truncatingIfNeeded: processor),
                worker: UInt32(truncatingIfNeeded: cell.number), start: start, end: end, goroutine: goroutine.cell.id,
                other: other), by: self)
    }
}

// What happens to processors and workers: rare enough to be counted always.
extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Its goroutine goes on without the processor, which it has had until now.
    func noteHandOff(of processor: ProcessorRef) {
        let core = SchedulerCore.running
        core.cell.counters.handOffs.wrappingAdd(1, ordering: .relaxed)
        guard TraceRecorder.isOn else { return }
        let now = csp_now()
        let since = cell.watchedSince.load(ordering: .relaxed) == 0 ? 0 : cell.onProcessorSince.load(ordering: .relaxed)
        cell.lostProcessorAt.store(now, ordering: .relaxed)
        core.note(.handedOff, processor, now, cell.number)
        if since > 0 { core.noteRun(of: self, on: processor, since, now) }
    }

    /// Its goroutine has a processor again.
    func noteRegain() { if TraceRecorder.isOn { cell.onProcessorSince.store(csp_now(), ordering: .relaxed) } }

    /// Since when it sleeps, if somebody wants to know.
    @inline(__always)
    var sleepsSince: Int64 { TraceRecorder.isOn ? csp_now() : 0 }

    func noteSleep(since start: Int64) {
        guard start > 0, TraceRecorder.isOn else { return }
        TraceRecorder.shared.add(
            TraceEvent(kind: .slept, worker: UInt32(truncatingIfNeeded: cell.number), start: start, end: csp_now()),
            by: self)
    }
}

extension ProcessorRef {
    func noteTimers(_ now: Int64) { SchedulerCore.running.note(.fired, self, now, 0) }
}

extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// A processor has taken goroutines from another one's queue.
    func noteSteal(_ count: Int, by processor: ProcessorRef) {
        cell.counters.steals.wrappingAdd(1, ordering: .relaxed)
        cell.counters.stolen.wrappingAdd(UInt64(count), ordering: .relaxed)
        if TraceRecorder.isOn { note(.stole, processor, csp_now(), UInt64(count)) }
    }

    /// A sleeping worker, or with nil a new one, gets a processor.
    func noteWakeUp(of processor: ProcessorRef, _ worker: WorkerRef?) {
        cell.counters.wakeups.wrappingAdd(1, ordering: .relaxed)
        if TraceRecorder.isOn { note(.woke, processor, csp_now(), worker?.cell.number ?? 0) }
    }

    func noteEvents(_ count: Int) {
        TraceRecorder.shared.add(TraceEvent(kind: .polled, start: csp_now(), end: csp_now(), other: UInt64(count)))
    }

    fileprivate func note(_ kind: TraceEvent.Kind, _ processor: ProcessorRef, _ now: Int64, _ other: UInt64) {
        TraceRecorder.shared.add(
            TraceEvent(
                kind: kind, processor: Int16(truncatingIfNeeded: processor.cell.index), start: now, end: now,
                other: other))
    }

    /// A goroutine was on a processor until that was taken away; its own part of the picture goes on.
    fileprivate func noteRun(of worker: WorkerRef, on processor: ProcessorRef, _ start: Int64, _ end: Int64) {
        TraceRecorder.shared.add(
            TraceEvent(
                kind: .lost, processor: Int16(truncatingIfNeeded: processor.cell.index),
                worker: UInt32(truncatingIfNeeded: worker.cell.number), start: start, end: end,
                goroutine: worker.cell.watchedID.load(ordering: .relaxed),
                other: worker.cell.watchedMaker.load(ordering: .relaxed)))
    }
}

extension GoroutineRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// The stack of a goroutine that is not on it, for its worker.
    fileprivate func walkParkedStack(_ trace: UnsafeMutablePointer<csp_trace>) {
        let kind = Int(cell.stackClass)
        let base = SchedulerCore.running.cell.stacks.base(kind, cell.stackSlot)
        unsafe csp_walk_stack(
            UInt(bitPattern: cell.context.pc), UInt(bitPattern: cell.context.fp), base + UInt(CSP_GUARD_SIZE),
            base + UInt(1) << UInt(StackArena.smallestShift + kind), trace)
    }
}

extension WaitReason {
    /// Whether it waits for who holds a lock.
    var isLock: Bool { self == .mutex || self == .readLock || self == .writeLock }

    /// Whether another goroutine makes it wait: what Go's block profile tells. Not a clock or the kernel.
    var isBlocking: Bool {
        switch self {
        case .channelSend, .channelReceive, .select, .waitGroup, .run, .mutex, .readLock, .writeLock, .condition,
            .semaphore:
            true
        case .none, .selectNoCases, .sleep, .yield, .idle, .ioWait, .ioTurn: false
        }
    }
}
