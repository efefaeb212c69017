/// Why a context is done.
public enum ContextError: Error, Equatable, CustomStringConvertible {
    /// Its cancel function was called, or an ancestor's.
    case canceled
    /// Its deadline has passed, or an ancestor's.
    case deadlineExceeded

    /// In Go's words.
    public var description: String {
        switch self {
        case .canceled: "context canceled"
        case .deadlineExceeded: "context deadline exceeded"
        }
    }
}

/// Names a value that travels with a context.
///
/// ```swift
/// enum RequestID: ContextKey { typealias Value = Int }
/// let context = Context.current.withValue(RequestID.self, 7)
/// context[RequestID.self]  // 7
/// ```
public protocol ContextKey {
    /// The type of the value.
    associatedtype Value: Sendable
}

/// Carries a cancellation signal, a deadline and values from caller to callee (Go's `context.Context`).
///
/// Contexts form a tree: what cancels a context also cancels all below it. A context that is dropped, cancelled or not, leaves nothing
/// behind: neither in its parent nor among the timers. One that nobody can ever cancel any more keeps functions given to `afterDone`.
/// Source of the rules: https://pkg.go.dev/context; docs/context-rules.md goes through them.
public final class Context: Sendable {
    /// Closed when this is done; nil when that never happens. Keeps `cancellation`.
    @usableFromInline let channel: Channel<Never>?
    private let cancellation: Cancellation?
    private let values: ContextValue?

    /// When it will be done at the latest; nil when there is no such time.
    public let deadline: Time.Instant?

    private init(
        _ channel: Channel<Never>?, _ cancellation: Cancellation?, _ values: ContextValue?, _ deadline: Time.Instant?
    ) {
        self.channel = channel
        self.cancellation = cancellation
        self.values = values
        self.deadline = deadline
    }

    // MARK: Roots

    /// Never done, without deadline and values: the root of all contexts.
    public static let background = Context(nil, nil, nil, nil)
    /// The same, for where it is not clear yet which context to use.
    public static let todo = Context(nil, nil, nil, nil)

    /// The context that this goroutine was given by `Goroutine.run`, by an `ErrorGroup` or by `withGoroutines`; `.background` elsewhere.
    ///
    /// `go` does not pass it on: a goroutine that outlives its creator is most often not to end with it. Hand the context over as a
    /// value there, as in Go.
    public static var current: Context { GoroutineRef.current?.cell.currentContext ?? background }

    /// Runs `body` with this as `current`, if the caller is a goroutine.
    func withCurrent<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        guard let goroutine = GoroutineRef.current else { return try body() }
        let outer = goroutine.cell.currentContext
        goroutine.currentContext = self
        defer { goroutine.currentContext = outer }
        return try body()
    }

    // MARK: Looking

    private static let neverDone = Channel<Never>()

    /// Closed when this context is done: a receive from it waits for that. The same channel each time, for a context and those made from
    /// it by `withValue`. In a `select`, `Canceled(context)` is shorter.
    public var done: ReceiveChannel<Never> { (channel ?? Self.neverDone).receiver }

    /// Why it is done; nil while it is not. Once it is not nil, `done` is closed and `error` does not change any more.
    /// - Complexity: O(1); one load.
    public var error: ContextError? { cancellation?.error }

    /// What caused it to be done: the error given to the cancel function or with the deadline, of this context or of the ancestor that
    /// was done first; else `error`.
    public var cause: (any Error)? { cancellation?.cause }

    /// Throws `error` when there is one.
    public func check() throws(ContextError) {
        if let error { throw error }
    }

    /// The value that this context or the nearest ancestor with such a key has.
    /// - Complexity: O(n) for n values above it.
    public subscript<K: ContextKey>(_ key: K.Type) -> K.Value? {
        var each = values
        while let value = each {
            if value.key == ObjectIdentifier(key) { return value.value as? K.Value }
            each = value.next
        }
        return nil
    }

    // MARK: Deriving

    /// A context that is done when the function is called, or when this one is.
    ///
    /// Call `cancel` in any case (`defer { cancel() }`), so that goroutines that work for it end. Calls after the first do nothing.
    public func withCancel() -> (context: Context, cancel: CancelFunction) {
        let (channel, cancellation) = Cancellation.channel(below: channel)
        return (Context(channel, cancellation, values, deadline), CancelFunction(cancellation))
    }

    /// As `withDeadline`, from now. A duration that is not positive is over at once.
    /// - Parameter cause: What `cause` is when the time has passed; `ContextError.deadlineExceeded` unless given.
    public func withTimeout(
        _ duration: Duration, cause: (any Error)? = nil
    ) -> (context: Context, cancel: CancelFunction) {
        withDeadline(Time.now.advanced(by: duration), cause: cause)
    }

    /// A context that is done at `instant`, when the function is called, or when this one is. Its deadline is this one's where that
    /// is earlier.
    /// - Parameter cause: What `cause` is when the time has passed; `ContextError.deadlineExceeded` unless given.
    /// - Complexity: One timer, which goes when the context is done or nobody has it any more.
    public func withDeadline(
        _ instant: Time.Instant, cause: (any Error)? = nil
    ) -> (context: Context, cancel: CancelFunction) {
        if let deadline, deadline < instant { return withCancel() }
        let (channel, cancellation) = Cancellation.channel(below: channel)
        // By the clock of `instant`: turned into nanoseconds it may be a little later.
        if instant <= Time.now {
            cancellation.cancel(.deadlineExceeded, cause)
        } else if cancellation.error == nil {
            cancellation.cancel(atNanoseconds: Clock.nanoseconds(of: instant), cause)
        }
        return (Context(channel, cancellation, values, instant), CancelFunction(cancellation))
    }

    /// A context with one more value, done with this one. For what belongs to a request, not for optional parameters.
    public func withValue<K: ContextKey>(_ key: K.Type, _ value: K.Value) -> Context {
        Context(channel, cancellation, ContextValue(ObjectIdentifier(key), value, values), deadline)
    }

    /// A context with this one's values that is never done.
    public func withoutCancel() -> Context { Context(nil, nil, values, nil) }

    /// A context done by one of `signals`; see `notify`.
    func withSignals(_ signals: [Int32]) -> (context: Context, cancel: CancelFunction) {
        let (channel, cancellation) = Cancellation.channel(below: channel)
        cancellation.signals = SignalRegistration(signals, cancellation)
        return (Context(channel, cancellation, values, deadline), CancelFunction(cancellation))
    }

    // MARK: Scopes

    /// Runs `body` with a context that is done when `body` returns or throws, when `duration` has passed, or when this one is.
    ///
    /// ```swift
    /// let page = try context.withTimeout(.seconds(2)) { try fetch(url, $0) }
    /// ```
    public func withTimeout<T, E: Error>(
        _ duration: Duration, cause: (any Error)? = nil, _ body: (Context) throws(E) -> T
    ) throws(E) -> T {
        let (context, cancel) = withTimeout(duration, cause: cause)
        defer { cancel() }
        return try body(context)
    }

    /// Runs `body` with a context that is done when `body` returns or throws, at `instant`, or when this one is.
    public func withDeadline<T, E: Error>(
        _ instant: Time.Instant, cause: (any Error)? = nil, _ body: (Context) throws(E) -> T
    ) throws(E) -> T {
        let (context, cancel) = withDeadline(instant, cause: cause)
        defer { cancel() }
        return try body(context)
    }

    /// Runs `body` with a context that is done when `body` returns or throws, when it calls the function, or when this one is.
    public func withCancel<T, E: Error>(_ body: (Context, CancelFunction) throws(E) -> T) throws(E) -> T {
        let (context, cancel) = withCancel()
        defer { cancel() }
        return try body(context, cancel)
    }

    // MARK: Afterwards

    /// Runs `body` in a goroutine of its own once this context is done; at once if it is. Several of them run independently.
    ///
    /// - Returns: A function that stops this: true if `body` will not run because of this call; false if it has been started or stopped
    ///   before. It does not wait for a `body` that runs.
    @discardableResult
    public func afterDone(_ body: sending @escaping () -> Void) -> @Sendable () -> Bool {
        let function = Cancellation.function(below: channel, body)
        return { function.abandon() }
    }
}

/// Cancels a context. May be called again and from anywhere; only the first call counts.
public struct CancelFunction: Sendable {
    private let cancellation: Cancellation

    init(_ cancellation: Cancellation) { self.cancellation = cancellation }

    /// Cancels the context and all below it. Does not wait for work in them to end.
    /// - Parameter cause: What the context's `cause` is then; `ContextError.canceled` unless given.
    /// - Complexity: O(n) for n contexts below it.
    public func callAsFunction(_ cause: (any Error)? = nil) {
        exploreBefore(.cancel, cancellation)
        cancellation.cancel(.canceled, cause)
        cancellation.signals?.end()
    }
}

/// A context's values: each one before those of its ancestors.
private final class ContextValue: Sendable {
    let key: ObjectIdentifier
    let value: any Sendable
    let next: ContextValue?

    init(_ key: ObjectIdentifier, _ value: any Sendable, _ next: ContextValue?) {
        self.key = key
        self.value = value
        self.next = next
    }
}
