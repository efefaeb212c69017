package import CSP
package import CSPNet

/// Passes connections on to another server, so many at a time, and ends those on which nothing has moved for a while.
package struct TCPProxy: Sendable {
    private let listener: TCPListener
    private let host: String
    private let port: UInt16
    package var limits = Limits()
    /// Where it listens.
    package var address: SocketAddress { listener.address }

    package struct Limits: Sendable {
        /// Connections at a time; more wait until others end.
        package var connections = 1000
        /// How long the other server may take to answer.
        package var dialing = Duration.seconds(5)
        /// How long a connection may be silent, in both directions.
        package var idle = Duration.seconds(60)

        package init() {}
    }

    /// - Parameters:
    ///   - listening: The port to listen at on the loopback interface; 0: any.
    package init(listening: UInt16, to host: String, port: UInt16) throws {
        listener = try TCPListener(.ip(.loopback, port: listening))
        self.host = host
        self.port = port
    }

    /// Until `context` is done. Tells of what went wrong with a connection.
    package func run(in context: Context, report: @escaping @Sendable (any Error) -> Void) throws {
        try listener.serve(in: context, limit: limits.connections, grace: .seconds(1)) { client in
            do { try pass(client) } catch { report(error) }
        }
    }

    private func pass(_ client: TCPConnection) throws {
        let server = try Context.current.withTimeout(limits.dialing) { context in
            try TCPConnection.dial(host: host, port: port, in: context)
        }
        let idle = Time.Timer(limits.idle) {
            client.close()
            server.close()
        }
        defer {
            idle.stop()
            server.close()
        }
        try withGoroutines { group in
            for (from, to) in [(client, server), (server, client)] {
                group.go {
                    do throws(NetError) { try copy(from, to, idle) } catch {
                        // Wakes the other direction; whoever comes first is at fault.
                        from.close()
                        to.close()
                        if !error.isClosed { throw error }
                    }
                }
            }
        }
    }

    /// Until the end, which is passed on, too: each direction ends by itself.
    private func copy(_ from: TCPConnection, _ to: TCPConnection, _ idle: Time.Timer) throws(NetError) {
        var bytes = [UInt8](repeating: 0, count: 32 << 10)
        while true {
            let count = try from.read(into: &bytes)
            if count == 0 { break }
            idle.reset(limits.idle)
            try to.write(bytes.span.extracting(0..<count))
        }
        try to.closeWriting()
    }
}
