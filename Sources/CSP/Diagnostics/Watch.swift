import CCSP
import Synchronization

// How latencies, waits and traces come to be known, at no cost while nobody asks.
//
// `csp_watch()` says who asks. `ready` and `spawn` look at it where they would have looked for a sanitizer. Switches do not look: while somebody watches,
// each worker has a reason to have goroutines return to its loop (`LoopReasons.watched`), and the loop notes what begins and ends. A worker takes
// notice when it is in its loop, which is some dozens of switches after the watch began, at the most.
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
    }

    /// A goroutine that waits is about to be made ready, by the caller.
    static func isReady(_ goroutine: GoroutineRef) {
        let watch = csp_watch()
        guard watch & ~UInt32(CSP_WATCH_FIBERS) != 0 else { return }
        let now = csp_now()
        goroutine.cell.readySince = now
        goroutine.cell.readiedBy = GoroutineRef.current?.cell.id ?? 0
        if watch & UInt32(CSP_WATCH_MUTEX) != 0, goroutine.cell.waitReason.isLock, isCurrent(goroutine.cell.parkedAt) {
            unsafe EventProfile.mutex.note(now - goroutine.cell.parkedAt) { unsafe csp_walk_callers($0) }
        }
    }

    /// Whether a time was noted since the watch began.
    static func isCurrent(_ time: Int64) -> Bool { time != 0 && time >= csp_watch_since() }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    @inline(never)
    func enterWatched(_ goroutine: GoroutineRef) {
        let watch = csp_watch() & ~UInt32(CSP_WATCH_FIBERS)
        if watch == 0 {
            cell.returnsToLoop.remove(.watched)
            return enterUnwatched(goroutine)
        }
        cell.returnsToLoop.insert(.watched)
        let start = csp_now()
        goes(on: goroutine, start, watch)
        enterUnwatched(goroutine)
        leaves(goroutine, start, watch)
    }

    /// A goroutine goes onto its stack.
    private func goes(on goroutine: GoroutineRef, _ now: Int64, _ watch: UInt32) {
        let ready = goroutine.cell.readySince, parked = goroutine.cell.parkedAt
        if Watch.isCurrent(ready), watch & UInt32(CSP_WATCH_WAITING) != 0 {
            cell.processor!.cell.latency.add(now - ready)
        }
        guard Watch.isCurrent(parked) else { return }
        let reason = goroutine.cell.waitReason, waited = now - parked
        if reason.isLock, watch & UInt32(CSP_WATCH_WAITING) != 0 {
            SchedulerCore.running.cell.counters.contentions.wrappingAdd(1, ordering: .relaxed)
            SchedulerCore.running.cell.counters.contentionTime.wrappingAdd(waited, ordering: .relaxed)
        }
        if reason.isBlocking, watch & UInt32(CSP_WATCH_BLOCK) != 0 {
            unsafe EventProfile.block.note(waited) { unsafe goroutine.walkParkedStack($0) }
        }
        goroutine.cell.parkedAt = 0
    }

    /// A goroutine has left its stack, and is not seen by others yet.
    private func leaves(_ goroutine: GoroutineRef, _ start: Int64, _ watch: UInt32) {
        let now = csp_now()
        let isWaiting = goroutine.cell.status == .waiting
        goroutine.cell.parkedAt = isWaiting ? now : 0
        goroutine.cell.readySince = isWaiting ? 0 : now
        goroutine.cell.readiedBy = 0
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
