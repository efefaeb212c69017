import CSP
import Dispatch
import FlyingFox
import FlyingSocks
import Foundation
import Synchronization

/// A web server within the program that shows what its goroutines and the scheduler do.
///
/// ```swift
/// let server = try DebugServer.start(port: 6060)     // and look at http://127.0.0.1:6060/
/// ```
/// It does not run on the scheduler that it shows, so it answers also when no processor gets anywhere; it needs one free thread of Swift's own pool. It prints
/// nothing. It goes on when nobody keeps the object, until `stop` or the end of the process. While it runs, scheduling latency and contention are
/// measured, and no deadlock is reported, since a request might still come.
///
/// It listens on the loopback interface unless told otherwise: who can reach it sees names, stacks and source paths, and can have the program profile
/// itself.
public final class DebugServer: Sendable {
    /// The port that it listens on.
    public let port: Int
    /// The address that it listens on, as "http://127.0.0.1:6060/".
    public let address: String

    private let server: HTTPServer
    private let executor = ServerExecutor()
    private let isOver = DispatchSemaphore(value: 0)
    private let life = Synchronization.Mutex(Life())

    private struct Life {
        var isStopped = false
        var task: Task<Void, Never>?
        /// Of the start; nil while it is not known.
        var outcome: Result<Void, any Error>?
    }

    /// How many servers there are in this process: while there are any, waiting is measured.
    private static let count = Synchronization.Mutex(0)

    /// Starts a server; requests are answered when it returns.
    ///
    /// - Parameters:
    ///   - port: 0 chooses one that is free; see `port`.
    ///   - host: An IP address of an interface; "0.0.0.0" or "::" for all. "localhost" is 127.0.0.1.
    @discardableResult
    public static func start(port: Int = 6060, host: String = "127.0.0.1") throws(DebugServerError) -> DebugServer {
        let host = host == "localhost" ? "127.0.0.1" : host
        let named = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        guard let number = UInt16(exactly: port) else { throw DebugServerError(.badAddress, named) }
        if let address = try? sockaddr_in.inet(ip4: host, port: number) {
            return try start(at: address, named) { port in
                var address = address
                address.sin_port = port.bigEndian
                return address
            }
        }
        if let address = try? sockaddr_in6.inet6(ip6: host, port: number) {
            return try start(at: address, named) { port in
                var address = address
                address.sin6_port = port.bigEndian
                return address
            }
        }
        throw DebugServerError(.badAddress, named)
    }

    private static func start<Address: SocketAddress>(
        at address: Address, _ named: String, _ with: (UInt16) -> Address
    ) throws(DebugServerError) -> DebugServer {
        do {
            // Holds the port, and says at once what is wrong with it. The server's own socket may be bound beside it, since this one does not listen.
            let holder = try Socket(domain: Int32(Address.family))
            defer { try? holder.close() }
            try holder.setValue(true, for: .localAddressReuse)
            try holder.bind(to: address)
            let server: DebugServer
            switch try holder.sockname() {
            case .ip4(let host, let port): server = DebugServer(host, port, with(port))
            case .ip6(let host, let port): server = DebugServer("[\(host)]", port, with(port))
            case .unix: throw SocketError.unsupportedAddress
            }
            try server.run()
            return server
        } catch SocketError.failed(_, let number, _) {
            throw DebugServerError(errno: number, named)
        } catch {
            throw DebugServerError(.other("\(error)"), named)
        }
    }

    private init(_ host: String, _ port: UInt16, _ address: some SocketAddress) {
        self.port = Int(port)
        self.address = "http://\(host):\(port)/"
        let isLoopback = host.hasPrefix("127.") || host == "[::1]"
        server = HTTPServer(
            config: .init(
                address: address,
                // Profiles take as long as they were asked to.
                timeout: 600, logger: .disabled),
            handler: FoxHandler(isLoopback: isLoopback))
    }

    /// Blocks until the server listens, or throws why it does not.
    private func run() throws {
        let isKnown = DispatchSemaphore(value: 0)
        let task = Task.detached(executorPreference: executor) { [self] in
            defer { isOver.signal() }
            do { try await server.run() } catch {
                if decide(.failure(error)) {
                    isKnown.signal()
                    return
                }
            }
            // It gives up when no descriptor is left for a connection; there will be some again.
            while true {
                try? await Task.sleep(for: .seconds(1))
                if life.withLock({ $0.isStopped }) { return }
                try? await server.run()
            }
        }
        Task.detached(executorPreference: executor) { [self] in
            // Both tasks take turns on one thread.
            while life.withLock({ $0.outcome == nil }) {
                if await server.isListening, decide(.success(())) { isKnown.signal() }
                await Task.yield()
            }
        }
        life.withLock { $0.task = task }
        isKnown.wait()
        try life.withLock { $0.outcome! }.get()
        Self.count.withLock {
            $0 += 1
            Scheduler.measuresWaiting = true
        }
    }

    /// Whether this was the first outcome.
    private func decide(_ outcome: Result<Void, any Error>) -> Bool {
        life.withLock {
            guard $0.outcome == nil else { return false }
            $0.outcome = outcome
            return true
        }
    }

    /// Stops listening and ends the connections. When it returns, the port is free. The second time does nothing. Blocks the calling thread for some milliseconds.
    @available(*, noasync)
    public func stop() { stopAndWait() }

    /// The same for tasks: suspends meanwhile.
    public func stop() async { await OwnThread.run { self.stopAndWait() } }

    private func stopAndWait() {
        let isFirst = life.withLock { life in
            defer { life.isStopped = true }
            return !life.isStopped
        }
        guard isFirst else { return }
        Self.count.withLock {
            $0 -= 1
            if $0 == 0 { Scheduler.measuresWaiting = false }
        }
        // Not `HTTPServer.stop`, which closes the socket before its loop has ended: the loop could then accept what comes to another server whose socket
        // has got the same number.
        life.withLock { $0.task }?.cancel()
        // Longer only if none of Swift's threads is free.
        _ = isOver.wait(timeout: .now() + .seconds(5))
    }
}
