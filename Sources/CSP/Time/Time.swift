import CCSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Sleeping and waking by the clock that goes on while the machine is suspended.
public enum Time {
    /// A point in time.
    public typealias Instant = ContinuousClock.Instant

    /// The time now; in `withVirtualTime` and `explore` of CSPTesting, that of their clock.
    public static var now: Instant { Clock.instant(nanoseconds: Clock.now) }

    /// Waits for at least `duration`; not at all when it is not positive. Blocks the calling goroutine or thread.
    /// - Complexity: O(log n) for n pending timers; no allocation.
    @available(*, noasync)
    public static func sleep(for duration: Duration) {
        exploreBefore(.sleep)
        if duration > .zero { sleep(untilNanoseconds: Clock.deadline(after: duration)) }
    }

    /// Waits until `instant`; not at all when it has passed. Blocks the calling goroutine or thread.
    @available(*, noasync)
    public static func sleep(until instant: Instant) {
        let deadline = Clock.nanoseconds(of: instant)
        if deadline > Clock.now { sleep(untilNanoseconds: deadline) }
    }

    private static func sleep(untilNanoseconds deadline: Int64) {
        guard let goroutine = GoroutineRef.current else { return sleepThread(until: deadline) }
        let processor = ProcessorRef.forTimers()
        var node = unsafe TimerNode(object: UnsafeMutableRawPointer(goroutine.pointer)) { goroutine, _ in
            unsafe GoroutineRef(goroutine)!.ready()
            return 0
        }
        // SAFETY: the goroutine is parked for as long as the node is in the heap. The heap's lock is released on the worker's
        // stack, so the node cannot fire earlier.
        unsafe withUnsafeMutablePointer(to: &node) { node in
            RaceDetector.ignoring {
                processor.cell.timers.lock.lock()
                unsafe TimerNode.armLocked(node, at: deadline, on: processor)
            }
            goroutine.park(.sleep, .unlock(processor.cell.timers.lock.handle))
        }
    }

    private static func sleepThread(until deadline: Int64) {
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        // SAFETY: interrupted by signals, it goes on to the same absolute time.
        while unsafe clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &time, nil) == EINTR {}
    }

    /// A channel that gets one value, the time, when `duration` has passed.
    ///
    /// As since Go 1.23, a timer that nobody can receive from any more is released.
    public static func after(_ duration: Duration) -> ReceiveChannel<Instant> {
        ChannelTimer.channel(deadline: Clock.deadline(after: duration), period: 0).receiver
    }
}
