import CSP
public import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Runs `body` many times, and each time its goroutines take turns in another order; fails the test when one of these orders goes wrong.
///
/// ```swift
/// @Test func counterCountsEverything() {
///     explore {
///         let counter = Counter(), group = WaitGroup()
///         for _ in 0..<2 { group.go { counter.increment() } }
///         group.wait()
///         Exploration.expect(counter.value == 2)
///     }
/// }
/// ```
/// Only one of the goroutines that `body` starts runs at a time. In debug builds others may come first before each operation on a channel, a lock or anything else of
/// CSP's; in release builds only when one waits, yields or ends. Between two such operations nobody comes in: plain variables and other libraries' atomics are not
/// looked at (for those there is `--sanitize=thread`; `Goroutine.yield()` adds a place). Time is virtual, as in `withVirtualTime`, but may also pass while goroutines could go on.
///
/// An order goes wrong when `body` throws, `Exploration.expect` is false, all goroutines wait for each other, some are left over when `body` has
/// returned, or there is no end. The report has the goroutines, what was done step by step, and a seed that makes the same happen again, provided that `body` does
/// the same each time: no real time, no random numbers of its own, nothing shared with code outside.
///
/// Blocks the calling goroutine or thread.
///
/// - Parameters:
///   - iterations: How many orders to try.
///   - seed: Where to begin; chosen anew each time unless given, here or as CSP_EXPLORE_SEED.
///   - mostSteps: How many steps an order may have, or changes of turn, before it counts as endless.
///   - body: What to run. It should be small: a few goroutines with a few operations each.
@available(*, noasync)
public func explore(
    iterations: Int = 1000, seed: UInt64? = nil, mostSteps: Int = 20_000,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable () throws -> Void
) {
    if let failure = Exploration.firstFailure(iterations: iterations, seed: seed, mostSteps: mostSteps, body) {
        report(failure.description, sourceLocation)
    }
}

/// The same for async code, which waits meanwhile: what `body` runs is not async.
nonisolated(nonsending)
    public func explore(
        iterations: Int = 1000, seed: UInt64? = nil, mostSteps: Int = 20_000,
        sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable () throws -> Void
    ) async
{
    let failure = await Goroutine.run {
        Exploration.firstFailure(iterations: iterations, seed: seed, mostSteps: mostSteps, body)
    }
    if let failure { report(failure.description, sourceLocation) }
}

/// For `explore`.
public enum Exploration {
    /// Ends this order as one that went wrong if `condition` is false. To be called by goroutines under `explore`; elsewhere it traps then.
    public static func expect(
        _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String = "an expectation is false",
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        if condition() { return }
        let text = "\(message()), \(sourceLocation.fileID):\(sourceLocation.line)"
        guard let bubble = Bubble.current, bubble.isGuided else { fatalError(text) }
        bubble.fail(text)
    }

    /// As `explore`, but returns the first failure instead of failing a test.
    @available(*, noasync)
    public static func firstFailure(
        iterations: Int = 1000, seed: UInt64? = nil, mostSteps: Int = 20_000,
        _ body: @escaping @Sendable () throws -> Void
    ) -> ExplorationFailure? {
        precondition(iterations >= 1 && mostSteps >= 1, "explore: iterations and mostSteps must be at least 1")
        let first = seed ?? seedFromEnvironment ?? UInt64.random(in: 0 ... .max)
        for iteration in 0..<iterations {
            // The first one is the seed itself, so that what a report says makes the same happen again.
            let seed = first &+ UInt64(iteration) &* 0x9E37_79B9_7F4A_7C15
            if let failure = run(Guide(seed: seed, mostSteps: mostSteps), iteration, body) { return failure }
        }
        return nil
    }

    private static var seedFromEnvironment: UInt64? {
        // SAFETY: the text lives until the environment changes.
        guard let text = unsafe getenv("CSP_EXPLORE_SEED") else { return nil }
        let digits = unsafe String(cString: text)
        let seed = digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : UInt64(digits)
        guard let seed else { fatalError("CSP_EXPLORE_SEED is \"\(digits)\", not a number of 64 bits") }
        return seed
    }

    @available(*, noasync)
    private static func run(
        _ guide: Guide, _ iteration: Int, _ body: @escaping @Sendable () throws -> Void
    ) -> ExplorationFailure? {
        let bubble = Bubble(guide: guide)
        let family = bubble.begin {
            do { try body() } catch { bubble.fail("error thrown: \(error)") }
        }
        bubble.waitForEnd()
        let reason: ExplorationFailure.Reason
        switch bubble.outcome! {
        case .done: return nil
        case .deadlock: reason = .deadlock
        case .leftover: reason = .leftover
        case .failed(let message): reason = .failed(message)
        }
        return ExplorationFailure(
            reason: reason, seed: guide.seed, iteration: iteration, trace: bubble.trace!.describe(), family: family)
    }
}

/// An order of goroutines' turns that went wrong.
public struct ExplorationFailure: Sendable, CustomStringConvertible {
    /// What went wrong.
    public enum Reason: Sendable, Equatable {
        /// Every goroutine waits for another.
        case deadlock
        /// The same, when the body has returned.
        case leftover
        /// An expectation was false, the body has thrown, or there was no end.
        case failed(String)
    }

    /// What went wrong.
    public let reason: Reason
    /// Makes it happen again, as the first of its iterations.
    public let seed: UInt64
    /// How many went right before.
    public let iteration: Int
    /// What was done, step by step.
    public let trace: String
    fileprivate let family: Family

    /// The goroutines that are left, as `Goroutine.dump` prints them: they never run again.
    public var goroutines: String { family.describeMembers() }

    /// All of that, and how to see it again.
    public var description: String {
        let what =
            switch reason {
            case .deadlock: "all goroutines wait for each other: deadlock"
            case .leftover: "goroutines are left over"
            case .failed(let message): message
            }
        return """
            explore: \(what)
            after \(iteration) orders that went right; again with CSP_EXPLORE_SEED=0x\(String(seed, radix: 16)), or explore(seed: 0x\(String(seed, radix: 16)))

            What was done:
            \(trace)
            The goroutines then:

            \(goroutines)
            """
    }
}
