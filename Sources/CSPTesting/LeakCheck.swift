import CSP
public import Testing

/// Fails the test if goroutines that were started in `body`, by it or by those it has started, have not returned some time after it has.
///
/// ```swift
/// @Test func serverStops() {
///     expectNoLeakedGoroutines {
///         let server = Server()
///         server.stop()
///     }
/// }
/// ```
/// Others do not count: what was there before, and what tests beside this one start. Each goroutine that is left is shown with its name, what it
/// waits for, its stack, and who has started it. For Swift Testing and XCTest. Blocks the calling goroutine or thread.
///
/// - Parameters:
///   - grace: How long they may take to return once `body` has.
///   - body: What to run.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
@available(*, noasync)
@discardableResult
public func expectNoLeakedGoroutines<T, E: Error>(
    grace: Duration = .seconds(1), sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws(E) -> T
) throws(E) -> T {
    let check = LeakCheck(grace: grace)
    defer { if let leaks = check.finish() { report(leaks, sourceLocation) } }
    return try check.family.gather(body)
}

/// The same for async code: goroutines started by its tasks count, too.
@discardableResult
nonisolated(nonsending)
    public func expectNoLeakedGoroutines<T>(
        grace: Duration = .seconds(1), sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> T
    ) async throws -> T
{
    let check = LeakCheck(grace: grace)
    let result: Result<T, any Error>
    do { result = .success(try await check.family.gather(body)) } catch { result = .failure(error) }
    let leaks = await Goroutine.run { check.finish() }
    if let leaks { report(leaks, sourceLocation) }
    return try result.get()
}

extension Trait where Self == NoLeakedGoroutines {
    /// Fails a test whose goroutines have not returned a second after it has: see `expectNoLeakedGoroutines`.
    public static var noLeakedGoroutines: NoLeakedGoroutines { NoLeakedGoroutines(grace: .seconds(1)) }

    /// The same with another time.
    /// - Parameter grace: How long they may take to return once the test has.
    public static func noLeakedGoroutines(grace: Duration) -> NoLeakedGoroutines { NoLeakedGoroutines(grace: grace) }
}

/// See `noLeakedGoroutines`. Of a suite: holds for each of its tests.
public struct NoLeakedGoroutines: TestTrait, SuiteTrait, TestScoping {
    let grace: Duration

    /// Suites pass it on to their tests.
    public var isRecursive: Bool { true }

    /// Runs a test and looks what it has left behind.
    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await expectNoLeakedGoroutines(grace: grace, sourceLocation: test.sourceLocation, function)
    }
}

/// Counts the goroutines of one family until they are gone, or time is up.
package struct LeakCheck: Sendable {
    package let family = Family()
    private let grace: Duration

    package init(grace: Duration) { self.grace = grace }

    /// Waits until all have returned or the grace period is over. Describes those that have not.
    @available(*, noasync)
    package func finish() -> String? {
        let end = Time.now + grace
        while family.count > 0, Time.now < end { Time.sleep(for: min(.milliseconds(5), grace / 20)) }
        let count = family.count
        if count == 0 { return nil }
        let goroutines = count == 1 ? "1 goroutine has" : "\(count) goroutines have"
        return "\(goroutines) not returned \(grace) after the code that started them:\n\n" + family.describeMembers()
    }
}
