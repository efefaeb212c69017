import CCSP
import Synchronization

/// Goroutines that work on parts of one task: waits for all, and keeps the first error (Go's `errgroup.Group`).
///
/// ```swift
/// let (group, context) = ErrorGroup.withContext(limit: 10)
/// for url in urls { group.go { try fetch(url, context) } }
/// try group.wait()
/// ```
/// `withGoroutines` is the same as a scope, which cannot be left too early. Source of the rules: https://pkg.go.dev/golang.org/x/sync/errgroup;
/// docs/context-rules.md goes through them.
@safe
public final class ErrorGroup: @unchecked Sendable {
    // SAFETY: (whole type) the lock is the first property; bodies are sent to their goroutines, and nobody else uses them.
    // Must be first: the lock is used by its address.
    private let lockWord = Atomic<UInt32>(0)
    // Guarded by the lock.
    private var storedError: (any Error)?

    // Written once.
    let running = WaitGroup()
    /// Holds something for each goroutine, if there is a limit.
    private let places: Channel<Void>?
    var limit: Int? { places?.capacity }
    private let context: Context?
    let cancel: CancelFunction?

    private init(_ limit: Int?, _ context: Context?, _ cancel: CancelFunction?) {
        if let limit, limit < 0 { fatal("panic: ErrorGroup: negative limit \(limit)") }
        places = limit.map { Channel(capacity: $0) }
        self.context = context
        self.cancel = cancel
    }

    /// A group without a context of its own: nothing is cancelled on an error. Its goroutines' `Context.current` is that of who starts them.
    /// - Parameter limit: Goroutines at the most at once; nil for no limit, 0 for none at all. Negative traps.
    public convenience init(limit: Int? = nil) { self.init(limit, nil, nil) }

    /// A group with a context, which is its goroutines' `Context.current`. It is cancelled, with the error as its cause, on the first error
    /// or when `wait` returns.
    /// - Parameter limit: As for `init`.
    public static func withContext(
        _ parent: Context = .background, limit: Int? = nil
    ) -> (group: ErrorGroup, context: Context) {
        let (context, cancel) = parent.withCancel()
        return (ErrorGroup(limit, context, cancel), context)
    }

    /// Runs `body` in a goroutine. Waits at the limit: blocks the calling goroutine or thread until one of the group's has ended.
    @inline(never)
    public func go(
        _ name: String? = nil, stackSize: Int? = nil, _ body: sending @escaping () throws -> Void
    ) {
        places?.send(())
        unsafe start(name, stackSize, csp_return_address(), body)
    }

    /// Runs `body` in a goroutine; false at the limit.
    @inline(never)
    public func tryGo(
        _ name: String? = nil, stackSize: Int? = nil, _ body: sending @escaping () throws -> Void
    ) -> Bool {
        if let places, !places.trySend(()) { return false }
        unsafe start(name, stackSize, csp_return_address(), body)
        return true
    }

    /// The same for a function: `group.go(work)`.
    @inline(never)
    public func go(_ body: sending @escaping () throws -> Void) {
        places?.send(())
        unsafe start(nil, nil, csp_return_address(), body)
    }

    /// The same for a function.
    @inline(never)
    public func tryGo(_ body: sending @escaping () throws -> Void) -> Bool {
        if let places, !places.trySend(()) { return false }
        unsafe start(nil, nil, csp_return_address(), body)
        return true
    }

    @inline(__always)
    private func start(
        _ name: String?, _ stackSize: Int?, _ creator: UnsafeMutableRawPointer?,
        _ body: sending @escaping () throws -> Void
    ) {
        running.add()
        let context = context ?? GoroutineRef.current?.cell.currentContext
        let run = { [body = unsafe UnsafeSending(body)] in
            if let context { GoroutineRef.current!.currentContext = context }
            do { try unsafe body.value() } catch { self.fail(error) }
            if let places = self.places { places.receive() }
        }
        unsafe GoroutineRef.spawn(
            name, stackSize: stackSize, creatorAddress: creator, GoroutineBody(run: run, group: running))
    }

    /// Waits for all goroutines and throws the first error. Blocks the calling goroutine or thread.
    @available(*, noasync)
    public func wait() throws {
        if let error = finish() { throw error }
    }

    // MARK: For scopes

    /// Keeps the first error and cancels the context with it.
    func fail(_ error: any Error) {
        lock.lock()
        let isFirst = storedError == nil
        if isFirst { storedError = error }
        lock.unlock()
        if isFirst { cancel?(error) }
    }

    var firstError: (any Error)? {
        lock.lock()
        defer { lock.unlock() }
        return storedError
    }

    /// Waits for all, ends the context, and returns the first error.
    func finish() -> (any Error)? {
        running.wait()
        return endContext()
    }

    /// When all are done. Returns the first error.
    func endContext() -> (any Error)? {
        let error = firstError
        cancel?(error)
        return error
    }

    private var lock: LockWord { LockWord(firstPropertyOf: self) }
}
