import CCSP
import Synchronization

extension ProcessorRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Fires what is due in this heap; any worker may.
    @inline(never)
    func runTimers(at now: Int64) {
        // If somebody else has the lock he is running them.
        guard cell.timers.earliest.load(ordering: .relaxed) <= now, cell.timers.lock.tryLock() else { return }
        cell.timers.run(at: now)
        cell.timers.lock.unlock()
        if TraceRecorder.isOn { noteTimers(now) }
    }

    /// Whose heap the caller's timers go into: its bubble's, its own processor's, or the first one's when it is outside.
    @inline(__always)
    static func forTimers() -> ProcessorRef {
        if let bubble = Bubble.current { return bubble.heap }
        return unsafe GoroutineRef.current?.cell.worker!.cell.processor ?? SchedulerCore.shared.processor(0)
    }
}

// SAFETY: (whole extension) a node's owner keeps it until it is off its heap.
extension TimerNode {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Puts an idle node that is nobody else's yet into the heap of the caller's processor.
    @inline(__always)
    static func arm(_ node: UnsafeMutablePointer<TimerNode>, at deadline: Int64) {
        let processor = ProcessorRef.forTimers()
        RaceDetector.ignoring {
            processor.cell.timers.lock.lock()
            unsafe armLocked(node, at: deadline, on: processor)
            processor.cell.timers.lock.unlock()
        }
        SchedulerCore.timerSubmitted(deadline)
    }

    /// Puts an idle node into the heap of `processor`, whose lock the caller holds.
    static func armLocked(_ node: UnsafeMutablePointer<TimerNode>, at deadline: Int64, on processor: ProcessorRef) {
        unsafe node.pointee.deadline = deadline
        unsafe node.pointee.heap.store(processor.cell.index, ordering: .releasing)
        unsafe processor.cell.timers.insert(node)
    }

    /// Takes the node off its heap. True if it was there, and so will not fire; once this returns it is not firing either.
    static func disarm(_ node: UnsafeMutablePointer<TimerNode>) -> Bool {
        unsafe withHeap(of: node) { processor in unsafe processor?.cell.timers.remove(node) ?? false }
    }

    /// Runs `body` under the lock of the heap that the node was last in; nil when it never was in one.
    @inline(__always)
    static func withHeap<T>(of node: UnsafeMutablePointer<TimerNode>, _ body: (ProcessorRef?) -> T) -> T {
        RaceDetector.ignoring {
            let index = unsafe node.pointee.heap.load(ordering: .acquiring)
            guard index >= 0 else { return body(nil) }
            let processor = unsafe SchedulerCore.shared.processor(index)
            processor.cell.timers.lock.lock()
            defer { processor.cell.timers.lock.unlock() }
            return body(processor)
        }
    }
}

extension SchedulerCore {
    /// After a timer has been put in by a thread that is no worker, without any lock held: whoever is awake looks at the heaps
    /// before it sleeps; if nobody is, and the one who watches the clock would sleep too long, wakes one. The proof is that of
    /// Idle.swift with the heap's first deadline in place of the queue's count.
    static func timerSubmitted(_ deadline: Int64) {
        // A goroutine has a worker, which is awake.
        if GoroutineRef.current != nil { return }
        // SAFETY: the scheduler is immortal.
        let core = unsafe shared
        RaceDetector.ignoring {
            if core.cell.awake.load(ordering: .sequentiallyConsistent) > 0 { return }
            core.cell.idleLock.lock()
            let late = deadline < core.cell.watchedDeadline
            core.cell.idleLock.unlock()
            if late { core.wakeWorker() }
        }
    }
}

/// Times as nanoseconds since boot, which is what ContinuousClock reads.
enum Clock {
    private static let origin = (instant: ContinuousClock.now, nanoseconds: csp_now())

    /// As the caller sees it: a bubble has a clock of its own.
    static var now: Int64 { Bubble.current?.now ?? csp_now() }

    static func instant(nanoseconds: Int64) -> ContinuousClock.Instant {
        origin.instant + .nanoseconds(nanoseconds - origin.nanoseconds)
    }

    /// Not before `instant`.
    static func nanoseconds(of instant: ContinuousClock.Instant) -> Int64 {
        let (sum, overflow) = origin.nanoseconds.addingReportingOverflow((instant - origin.instant).clampedNanoseconds)
        return overflow ? latest : min(latest, sum)
    }

    /// `duration` from now; a duration that is not positive is over.
    static func deadline(after duration: Duration) -> Int64 { deadline(after: duration.clampedNanoseconds) }
    static func deadline(after nanoseconds: Int64) -> Int64 {
        let (sum, overflow) = now.addingReportingOverflow(max(0, nanoseconds))
        return overflow ? latest : min(latest, sum)
    }

    /// The last instant there is: 292 years after boot.
    private static var latest: Int64 { .max - 1 }
}

extension Duration {
    /// Rounded up, within what 64 bits hold.
    @usableFromInline
    var clampedNanoseconds: Int64 {
        // Up to 18 seconds; a division of 128 bits costs as much as all the rest of starting a timer.
        if let attoseconds = UInt64(exactly: attoseconds) {
            return Int64(attoseconds / 1_000_000_000) + (attoseconds % 1_000_000_000 > 0 ? 1 : 0)
        }
        // Not by `components`, which trap for the longest durations.
        let (quotient, rest) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return Int64(clamping: rest > 0 ? quotient + 1 : quotient)
    }
}
