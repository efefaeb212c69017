package import CSP
package import CSPNet
import Histogram

/// Sends back whatever comes, to as many as come.
package struct EchoServer: Sendable {
    private let listener: TCPListener
    /// Where it listens.
    package var address: SocketAddress { listener.address }

    package init(host: String?, port: UInt16) throws { listener = try TCPListener(host: host, port: port) }

    /// Until `context` is done.
    package func run(in context: Context) throws {
        try listener.serve(in: context, grace: .seconds(1)) { connection in
            var bytes = [UInt8](repeating: 0, count: 4096)
            while let count = try? connection.read(into: &bytes), count > 0 {
                guard (try? connection.write(bytes.span.extracting(0..<count))) != nil else { return }
            }
        }
    }
}

/// Many connections to an echo server, each of which sends a message, waits for it to come back, and sends the next one.
package struct EchoLoad: Sendable {
    package var address: SocketAddress
    package var connections = 64
    package var messageSize = 64
    package var duration = Duration.seconds(5)

    package init(address: SocketAddress) { self.address = address }

    package struct Report: Sendable {
        /// In nanoseconds, of each message that came back.
        package var latencies = Histogram<UInt64>(numberOfSignificantValueDigits: .two)
        package var elapsed = Duration.zero
        /// What ended connections before their time.
        package var failures: [NetError] = []

        package var messages: UInt64 { latencies.totalCount }

        package var text: String {
            let perSecond = Int(Double(messages) / (elapsed / .seconds(1)))
            func microseconds(_ percentile: Double) -> UInt64 { latencies.valueAtPercentile(percentile) / 1000 }
            return """
                \(messages) messages, \(perSecond) a second, \(failures.count) connections failed
                latency: median \(microseconds(50)) µs, 99 % within \(microseconds(99)) µs, 99.9 % within \(microseconds(99.9)) µs
                """
        }
    }

    /// Until the time is over, or `context` is done.
    package func run(in context: Context = .current) -> Report {
        let report = Mutex(Report()), all = WaitGroup(), start = Time.now
        let (context, cancel) = context.withTimeout(duration)
        defer { cancel() }
        for number in 0..<connections {
            all.go {
                var latencies: [UInt64] = []
                var failure: NetError?
                do { try talk(number, in: context) { latencies.append($0) } } catch {
                    // That the time is over is no failure.
                    if context.error == nil { failure = error as? NetError }
                }
                report.withLock { report in
                    for latency in latencies { report.latencies.record(latency) }
                    if let failure { report.failures.append(failure) }
                }
            }
        }
        all.wait()
        return report.withLock { report in
            report.elapsed = start.duration(to: Time.now)
            return report
        }
    }

    private func talk(_ number: Int, in context: Context, _ record: (UInt64) -> Void) throws {
        let connection = try TCPConnection.dial(address, in: context)
        defer { connection.close() }
        let reader = BufferedReader(connection, capacity: messageSize)
        let message = (0..<messageSize).map { UInt8(truncatingIfNeeded: $0 + number) }
        while context.error == nil {
            let start = Time.now
            try connection.write(message, in: context)
            guard try reader.read(exactly: messageSize, in: context) == message else { throw WrongEcho() }
            record(UInt64(start.duration(to: Time.now) / .nanoseconds(1)))
        }
    }

    struct WrongEcho: Error {}
}
