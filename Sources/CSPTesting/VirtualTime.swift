import CSP

/// Runs `body` in a goroutine whose time is virtual, for all goroutines that descend from it: `Time.sleep`, timers, tickers, `After` and the deadlines
/// of contexts follow a clock that stands still while any of them can go on, and jumps to the next deadline when all of them wait (Go's
/// `testing/synctest`). So a test of timeouts takes no time, and always the same course.
///
/// ```swift
/// try withVirtualTime { clock in
///     let (context, cancel) = Context.background.withTimeout(.seconds(3600))
///     defer { cancel() }
///     Time.sleep(until: clock.now + .seconds(3599))
///     #expect(context.error == nil)
///     Time.sleep(for: .seconds(1))
///     clock.waitUntilIdle()
///     #expect(context.error == .deadlineExceeded)
/// }
/// ```
/// Whatever goroutines inside wait for must be inside, too: made there and used by them only. Who waits for a channel, a lock, a group or a time
/// counts as waiting; who computes, or is in a system call or in `runBlocking`, does not. (Go's does not count locks; here time goes on beside one who sleeps with
/// a lock, and a deadlock by locks is found.) Times from elsewhere, such as `ContinuousClock.now`, are real: ask `clock.now` or `Time.now`.
///
/// Waits for all goroutines inside. Time stops when `body` has returned: let them end before. Blocks the calling goroutine or thread.
///
/// - Returns: What `body` returns.
/// - Throws: What `body` throws; `VirtualTimeError` when goroutines inside wait for nothing that will ever come. They are left as they are.
@available(*, noasync)
public func withVirtualTime<T>(
    _ body: sending @escaping (_ clock: VirtualClock) throws -> sending T
) throws -> sending T {
    let run = VirtualTimeRun(body)
    run.bubble.waitForEnd()
    return try run.result()
}

/// The same for async code, which waits meanwhile: what `body` runs is not async.
nonisolated(nonsending)
    public func withVirtualTime<T>(
        _ body: sending @escaping (_ clock: VirtualClock) throws -> sending T
    ) async throws -> sending T
{
    let run = VirtualTimeRun(body)
    // In a goroutine: whatever is cancelled, those inside are to end by themselves.
    await Goroutine.run { run.bubble.waitForEnd() }
    return try run.result()
}

/// The clock of `withVirtualTime`.
public struct VirtualClock: Sendable {
    let bubble: Bubble

    /// The time inside.
    public var now: ContinuousClock.Instant { bubble.instant }

    /// How much has passed since the beginning.
    public var elapsed: Duration { bubble.elapsed }

    /// Waits until every other goroutine inside waits (Go's `synctest.Wait`). No time passes meanwhile. Traps when the caller is not inside.
    @available(*, noasync)
    public func waitUntilIdle() {
        precondition(
            Bubble.current === bubble, "waitUntilIdle: the caller is not a goroutine of this clock's withVirtualTime")
        bubble.waitUntilIdle()
    }
}

/// Why `withVirtualTime` has no result.
public enum VirtualTimeError: Error, CustomStringConvertible {
    /// Every goroutine inside waits, and no time is set at which one would go on. The text shows them.
    case deadlock(String)
    /// The same, when `body` has returned: it has left goroutines behind.
    case leftover(String)

    /// What happened, and to which goroutines.
    public var description: String {
        switch self {
        case .deadlock(let dump): "all goroutines in withVirtualTime wait for each other: deadlock\n\n" + dump
        case .leftover(let dump): "goroutines are left over in withVirtualTime, whose body has returned:\n\n" + dump
        }
    }
}

private struct VirtualTimeRun<T> {
    let bubble = Bubble()
    private let family: Family
    private let outcome = Outcome()

    // SAFETY: written by the first goroutine, and read when it has returned.
    private final class Outcome: @unchecked Sendable {
        var value: Result<T, any Error>?
    }

    init(_ body: sending @escaping (VirtualClock) throws -> sending T) {
        let clock = VirtualClock(bubble: bubble)
        family = bubble.begin { [outcome] in outcome.value = Result { try body(clock) } }
    }

    func result() throws -> sending T {
        switch bubble.outcome! {
        case .deadlock: throw VirtualTimeError.deadlock(family.describeMembers())
        case .leftover: throw VirtualTimeError.leftover(family.describeMembers())
        case .done, .failed: break
        }
        // SAFETY: nobody else has it any more.
        nonisolated(unsafe) let value = outcome.value!
        return try unsafe value.get()
    }
}
