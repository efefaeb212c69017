/// Does something once for all who ask for it at the same time (`golang.org/x/sync/singleflight`): a cache's answer to a stampede.
///
/// ```swift
/// let lookups = SingleFlight<String, Address>()
/// let (address, wasShared) = try lookups.run(name) { try resolve(name) }
/// ```
/// While a call for a key is running, further calls for it do not run their bodies but wait for the first one's outcome, a value or an error.
/// Nothing is kept: a call that begins later runs again. Source of the rules: https://pkg.go.dev/golang.org/x/sync/singleflight.
public final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let flights = Mutex<[Key: Flight]>([:])

    /// What came of a call.
    public struct Outcome: Sendable {
        /// What the body returned or threw.
        public let result: Result<Value, any Error>
        /// Whether more than one caller has got it.
        public let shared: Bool
    }

    /// A call that is running.
    private final class Flight: @unchecked Sendable {
        // SAFETY: (whole type) guarded by the mutex.
        var callers = 0
        /// For each who waits for its outcome, in the order of their calls.
        var waiting: [Channel<Outcome>] = []
    }

    /// Nothing is running.
    public init() {}

    /// Runs `body`, or waits for the outcome of the call for `key` that is running. Blocks the calling goroutine or thread meanwhile.
    ///
    /// A `body` that calls `run` for the same key waits for itself, for ever.
    /// - Returns: The value, and whether more than one caller has got it.
    /// - Throws: What the body throws that runs.
    @available(*, noasync)
    public func run(_ key: Key, _ body: () throws -> Value) throws -> (value: Value, shared: Bool) {
        let (flight, _, channel) = join(key, waits: false)
        let outcome = channel?.receive() ?? finish(flight, key, Result { try body() })
        return (try outcome.result.get(), outcome.shared)
    }

    /// The same, giving up when `context` is done: the body, which has a goroutine of its own, goes on for the others. Does not begin when the
    /// context is done already.
    ///
    /// - Throws: What the body throws that runs; `ContextError` if the context was done first.
    @available(*, noasync)
    public func run(
        _ key: Key, in context: Context, _ body: sending @escaping () throws -> Value
    ) throws -> (value: Value, shared: Bool) {
        try context.check()
        let outcome = try start(key, body).receive(in: context)!
        return (try outcome.result.get(), outcome.shared)
    }

    /// Runs `body` in a goroutine unless a call for `key` is running, and returns at once with a channel that gets the outcome, one value (Go's
    /// `DoChan`). The channel is not closed. In the body `Context.current` is `.background`, since it may run for others than the caller.
    public func start(_ key: Key, _ body: sending @escaping () throws -> Value) -> ReceiveChannel<Outcome> {
        let (flight, isNew, channel) = join(key, waits: true)
        if isNew {
            go("single flight") { [body = unsafe UnsafeSending(body)] in
                _ = self.finish(flight, key, Result { try unsafe body.value() })
            }
        }
        return channel!.receiver
    }

    /// Has the next call for `key` run its body, even while an earlier one is running. Those who wait for that still get its outcome.
    public func forget(_ key: Key) { flights.withLock { $0[key] = nil } }

    // MARK: How it is done

    /// Joins the flight for `key`, or begins one. Whoever joins gets a channel for the outcome; whoever begins one only if it `waits`, too.
    private func join(_ key: Key, waits: Bool) -> (flight: Flight, isNew: Bool, channel: Channel<Outcome>?) {
        flights.withLock { flights in
            let running = flights[key], flight = running ?? Flight()
            if running == nil { flights[key] = flight }
            flight.callers += 1
            let channel = running != nil || waits ? Channel<Outcome>(capacity: 1) : nil
            if let channel { flight.waiting.append(channel) }
            return (flight, running == nil, channel)
        }
    }

    private func finish(_ flight: Flight, _ key: Key, _ result: Result<Value, any Error>) -> Outcome {
        let (outcome, waiting) = flights.withLock { flights in
            // Not the one that has begun since this one was forgotten.
            if flights[key] === flight { flights[key] = nil }
            return (Outcome(result: result, shared: flight.callers > 1), flight.waiting)
        }
        for channel in waiting { channel.send(outcome) }
        return outcome
    }
}
