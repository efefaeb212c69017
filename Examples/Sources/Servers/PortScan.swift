package import CSP
internal import CSPNet

/// Looks which ports of a machine take connections.
package struct PortScan: Sendable {
    package var host: String
    package var ports: ClosedRange<UInt16>
    /// Ports to look at at the same time.
    package var workers = 128
    /// How long to wait for an answer.
    package var timeout = Duration.seconds(1)

    package init(host: String, ports: ClosedRange<UInt16>) {
        self.host = host
        self.ports = ports
    }

    /// - Parameter progress: Called in one goroutine, with how many ports have been looked at.
    /// - Returns: The open ports, in order.
    /// - Throws: If the name cannot be resolved, descriptors are short, or `context` is done.
    package func run(in context: Context = .current, progress: (Int) -> Void = { _ in }) throws -> [UInt16] {
        let address = try Resolver.addresses(of: host, in: context)[0]
        return try withGoroutines(in: context) { group in
            let jobs = Channel<UInt16>(), results = Channel<(port: UInt16, isOpen: Bool)>()
            group.work(on: jobs.receiver, workers: min(workers, ports.count)) { port in
                try results.send((port, isOpen(.ip(address, port: port))), in: .current)
            }
            group.go { [ports, context = group.context] in
                for port in ports { try jobs.send(port, in: context) }
                jobs.close()
            }
            var open: [UInt16] = []
            for finished in 1...ports.count {
                let (port, isOpen) = try results.receive(in: group.context)!
                if isOpen { open.append(port) }
                progress(finished)
            }
            return open.sorted()
        }
    }

    private func isOpen(_ address: SocketAddress) throws -> Bool {
        do {
            try Context.current.withTimeout(timeout) { context throws(NetError) in
                try TCPConnection.dial(address, in: context).close()
            }
            return true
        } catch  where error.isOutOfDescriptors {
            throw error
        } catch {
            // Whatever has happened to the last ports, it is the context that ends a scan.
            if let ended = Context.current.error { throw ended }
            return false
        }
    }
}
