/// Runs `body`, which starts goroutines in its scope, and returns when all of them are done: none outlives the call (a nursery).
///
/// The first error, of a goroutine or of `body`, cancels the scope's context with that error as its cause; the rest see it in their
/// `Context.current`. Once all are done, the first error is thrown.
///
/// ```swift
/// let sizes = try withGoroutines(limit: 50) { group in
///     group.go { try refreshIndex() }
///     return try group.map(urls) { url in
///         try Context.current.withTimeout(.seconds(5)) { try fetch(url, $0).count }
///     }
/// }
/// ```
/// Inside `body` the group can be used, and lent to functions, but not kept: it is not copyable, and no goroutine can capture it. A goroutine that
/// wants to start others opens a scope of its own.
///
/// - Parameters:
///   - limit: Goroutines at the most at once; nil for no limit.
///   - parent: Cancels the scope's context when it is done.
///   - body: Runs on the calling goroutine or thread. In a goroutine the scope's context is its `Context.current`.
/// - Returns: What `body` returns.
@available(*, noasync)
public func withGoroutines<T>(
    limit: Int? = nil, in parent: Context = .current, _ body: (borrowing GoroutineScope<any Error>) throws -> T
) throws -> T {
    try GoroutineScope.run(limit, parent, body)
}

/// The same for goroutines that throw nothing but `Failure`, or nothing at all: `withGoroutines(throwing: Never.self) { group in ... }`.
@available(*, noasync)
public func withGoroutines<T, Failure: Error>(
    throwing: Failure.Type, limit: Int? = nil, in parent: Context = .current,
    _ body: (borrowing GoroutineScope<Failure>) throws(Failure) -> T
) throws(Failure) -> T {
    try GoroutineScope.run(limit, parent, body)
}

/// What a `withGoroutines` starts goroutines with.
@safe
public struct GoroutineScope<Failure: Error>: ~Copyable {
    // SAFETY: (whole type) a result is written by the goroutine that makes it, before it is counted as done, and read after that.
    /// Done when the scope ends, at the first error, or when its parent is done.
    public let context: Context
    private let group: ErrorGroup

    /// Starts a goroutine; what it captures is sent to it. Waits at the limit: blocks the calling goroutine or thread until another has ended.
    @available(*, noasync)
    public func go(
        _ name: String? = nil, stackSize: Int? = nil, _ body: sending @escaping () throws(Failure) -> Void
    ) {
        group.go(name, stackSize: stackSize) { [body = unsafe UnsafeSending(body)] in try unsafe body.value() }
    }

    /// The same for a function: `group.go(work)`.
    @available(*, noasync)
    public func go(_ body: sending @escaping () throws(Failure) -> Void) { go(nil, body) }

    /// Runs `body` for each of the items, each in a goroutine of its own, and returns the results in the items' order once all are done.
    ///
    /// After a failure in the scope no more are started.
    /// - Throws: The scope's first error.
    @available(*, noasync)
    public func map<Items: Sequence, T>(
        _ items: Items, _ body: @escaping @Sendable (Items.Element) throws(Failure) -> sending T
    ) throws(Failure) -> sending [T] where Items.Element: Sendable {
        let pending = WaitGroup()
        var results: [Pending<T>] = []
        for item in items {
            if group.firstError != nil { break }
            let result = Pending<T>()
            results.append(result)
            pending.add()
            group.go { [group] in
                do throws(Failure) {
                    result.value = try body(item)
                } catch { group.fail(error) }
                pending.done()
            }
        }
        pending.wait()
        if let error = group.firstError { throw error as! Failure }
        return unsafe UnsafeSending(results.map { $0.value! }).value
    }

    fileprivate static func run<T>(
        _ limit: Int?, _ parent: Context, _ body: (borrowing Self) throws(Failure) -> T
    ) throws(Failure) -> T {
        let (group, context) = ErrorGroup.withContext(parent, limit: limit)
        let scope = Self(context: context, group: group)
        var result: T?
        do throws(Failure) {
            result = try context.withCurrent { () throws(Failure) -> T in try body(scope) }
        } catch { group.fail(error) }
        if let error = group.finish() { throw error as! Failure }
        return result!
    }
}

extension GoroutineScope<any Error> {
    /// A worker pool: starts `count` goroutines that run `body` for what comes out of `jobs`, one at a time each, until the channel is closed and
    /// drained. Returns at once.
    ///
    /// ```swift
    /// try withGoroutines { group in
    ///     let requests = Channel<Request>(capacity: 100)
    ///     group.work(on: requests.receiver, workers: 50) { try handle($0, .current) }
    ///     for request in source { try requests.send(request, in: group.context) }
    ///     requests.close()
    /// }
    /// ```
    /// A worker that finds the scope's context done throws its error and leaves the rest of the jobs: send them with `send(_:in:)`. Traps if there are to
    /// be more workers than the scope's limit allows: they end only with the jobs.
    @available(*, noasync)
    public func work<Job>(
        on jobs: ReceiveChannel<Job>, workers count: Int, _ body: @escaping @Sendable (sending Job) throws -> Void
    ) {
        if let limit = group.limit, count > limit {
            fatal("panic: withGoroutines: \(count) workers do not fit into the limit of \(limit)")
        }
        for _ in 0..<count {
            go { [context] in
                while let job = try jobs.receive(in: context) { try body(job) }
            }
        }
    }
}

/// A result that is still to come.
private final class Pending<T>: @unchecked Sendable {
    var value: T?
}
