import AsyncHTTPClient
import CSP
import Histogram

/// Sends many requests to one address, some of them at a time: a goroutine for each.
///
/// What Go programmers are asked in interviews. The answer is not ten thousand connections: an `ErrorGroup`'s limit bounds the requests under way, the
/// client keeps as many connections and uses them again, and each request has a context with a timeout.
public struct ManyRequests: Sendable {
    /// Where to.
    public var url: String
    /// How many requests.
    public var count = 10_000
    /// How many at the same time.
    public var limit = 64
    /// How long each may take.
    public var timeout = Duration.seconds(2)

    /// Of `count` requests to `url`.
    public init(url: String, count: Int = 10_000, limit: Int = 64, timeout: Duration = .seconds(2)) {
        self.url = url
        self.count = count
        self.limit = limit
        self.timeout = timeout
    }

    /// What became of the requests.
    public struct Report: Sendable {
        /// Of the requests that were answered, in microseconds.
        public var latencies = Histogram<UInt64>(numberOfSignificantValueDigits: .two)
        /// Those that were answered.
        public var answered = 0
        /// Those that took too long.
        public var timedOut = 0
        /// Those that failed otherwise, by their error.
        public var failures: [String: Int] = [:]
        /// All together.
        public var duration = Duration.zero

        /// Requests that are over.
        public var finished: Int { answered + timedOut + failures.values.reduce(0, +) }
    }

    private enum Outcome: Sendable {
        case answered(Duration)
        case timedOut
        case failed(String)
    }

    /// Sends them all and waits for the answers; begins no more when `context` is done. Blocks the calling goroutine or thread.
    /// - Parameter progress: Called now and then with the number of requests that are over.
    public func run(
        in context: Context = .current, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> Report {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = limit
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        defer { runBlocking(in: .background) { () async in try? await client.shutdown() } }

        // One goroutine has the report; the others tell it what has happened.
        let outcomes = CSP.Channel<Outcome>(capacity: limit), reports = CSP.Channel<Report>(capacity: 1)
        go("report") { reports <- Self.collect(outcomes.receiver, progress) }

        let start = ContinuousClock.now
        let (group, inner) = ErrorGroup.withContext(context, limit: limit)
        for _ in 0..<count {
            if inner.error != nil { break }
            group.go { outcomes <- self.request(client, inner) }
        }
        try group.wait()
        outcomes.close()
        var report = reports.receive()!
        report.duration = ContinuousClock.now - start
        return report
    }

    private func request(_ client: HTTPClient, _ context: Context) -> Outcome {
        let start = ContinuousClock.now
        return context.withTimeout(timeout) { context in
            do {
                let status = try runBlocking(in: context) { () async throws in
                    let response = try await client.execute(HTTPClientRequest(url: url), deadline: .distantFuture)
                    _ = try await response.body.collect(upTo: 1 << 20)
                    return response.status
                }
                return status == .ok ? .answered(ContinuousClock.now - start) : .failed("status \(status.code)")
            } catch {
                return context.error == .deadlineExceeded ? .timedOut : .failed("\(error)")
            }
        }
    }

    private static func collect(
        _ outcomes: ReceiveChannel<Outcome>, _ progress: @escaping (Int) -> Void
    ) -> Report {
        var report = Report()
        let ticker = Time.Ticker(.milliseconds(100))
        defer { ticker.stop() }
        var isOver = false
        while !isOver {
            select {
                Receive(outcomes) { outcome in
                    switch outcome {
                    case .answered(let latency):
                        report.answered += 1
                        report.latencies.record(UInt64(latency / .microseconds(1)))
                    case .timedOut: report.timedOut += 1
                    case .failed(let reason): report.failures[reason, default: 0] += 1
                    case nil: isOver = true
                    }
                }
                Receive(ticker.channel) { _ in progress(report.finished) }
            }
        }
        progress(report.finished)
        return report
    }
}
