import CCSP
public import CSP
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where TCP connections come in.
///
/// ```swift
/// let listener = try TCPListener(host: "localhost", port: 8080)
/// for connection in listener {
///     go { serve(connection) }
/// }
/// ```
/// Several goroutines may accept at once. The loop ends when the listener is closed; see `serve` for a server that ends in good order.
public final class TCPListener: Sendable {
    private let core: ListenerCore
    /// Where it listens; with the port that the system chose, if it was asked for port 0.
    public var address: SocketAddress { core.address }

    /// Listens at `address`; port 0: at one that is free.
    public init(_ address: SocketAddress, _ options: ListenOptions = ListenOptions()) throws(NetError) {
        guard case .ip = address else {
            throw NetError(.listen, "tcp \(address)", address, .badAddress("not an IP address"))
        }
        core = try ListenerCore(address, .tcp, options)
    }

    /// Listens at the first address that `host` stands for. Blocks the goroutine or thread while the name is looked up.
    /// - Parameter host: An IP address or a name; nil: all addresses of this machine, IPv6 and IPv4.
    @available(*, noasync)
    public convenience init(
        host: String?, port: UInt16, _ options: ListenOptions = ListenOptions(), in context: Context? = nil
    ) throws(NetError) {
        guard let host else {
            try self.init(.ip(Self.hasV6 ? .anyV6 : .any, port: port), options)
            return
        }
        let addresses = try Resolver.addresses(of: host, in: context)
        try self.init(.ip(addresses[0], port: port), options)
    }

    private static var hasV6: Bool {
        guard let socket = try? RawSocket(family: AF_INET6, type: SOCK_STREAM_) else { return false }
        return (try? socket.bind(to: .ip(.loopbackV6, port: 0))) != nil
    }

    /// Waits for a connection. When descriptors or memory are short it waits and tries again, and reports: see `ListenOptions.onExhaustion`.
    @available(*, noasync)
    public func accept(in context: Context? = nil) throws(NetError) -> TCPConnection {
        let (descriptor, remote) = try core.accept(in: context)
        return TCPConnection(descriptor, remote: remote)
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func accept() async throws(NetError) -> TCPConnection
    {
        let (descriptor, remote) = try await core.accept()
        return TCPConnection(descriptor, remote: remote)
    }

    /// `accept` fails from `instant` on, also one that waits now; nil: it does not.
    public func setDeadline(_ instant: Time.Instant?) { core.descriptor.setDeadline(instant, for: .reading) }

    /// Stops listening: who waits in `accept` gets an error (`isClosed`), and connections that were not accepted are reset. Those accepted go on. The
    /// second time does nothing.
    public func close() { core.close() }

    /// Accepts until `context` is done or the listener is closed, and runs `handle` for each connection in a goroutine of its own; then waits for
    /// those that run. A connection is closed when `handle` returns, and the listener when this does.
    ///
    /// - Parameters:
    ///   - limit: How many connections at a time; more wait in the backlog. Nil: no limit.
    ///   - grace: How long they may go on once there is an end; then they are closed under `handle`. Nil: as long as they like.
    ///   - handle: Gets the connection. `Context.current` in it is not done before `grace` is over.
    /// - Throws: What ended it, if that was neither the context nor `close`.
    @available(*, noasync)
    public func serve(
        in context: Context? = nil, limit: Int? = nil, grace: Duration? = nil,
        _ handle: @escaping @Sendable (TCPConnection) -> Void
    ) throws(NetError) {
        try core.serve(in: context, limit: limit, grace: grace, { TCPConnection($0, remote: $1) }, handle)
    }
}

/// Where Unix connections come in. See `TCPListener`.
public final class UnixListener: Sendable {
    private let core: ListenerCore
    /// Where it listens.
    public var address: SocketAddress { core.address }

    /// Listens at `path`, where nothing must be yet, and which is removed by `close`; with `@` in front, at a name in Linux's abstract namespace.
    public init(path: String, _ options: ListenOptions = ListenOptions()) throws(NetError) {
        core = try ListenerCore(.unix(path), .unix, options)
    }

    /// See `TCPListener`.
    @available(*, noasync)
    public func accept(in context: Context? = nil) throws(NetError) -> UnixConnection {
        let (descriptor, remote) = try core.accept(in: context)
        return UnixConnection(descriptor, remote: remote)
    }

    /// See `TCPListener`.
    nonisolated(nonsending)
        public func accept() async throws(NetError) -> UnixConnection
    {
        let (descriptor, remote) = try await core.accept()
        return UnixConnection(descriptor, remote: remote)
    }

    /// See `TCPListener`.
    public func setDeadline(_ instant: Time.Instant?) { core.descriptor.setDeadline(instant, for: .reading) }

    /// See `TCPListener`.
    public func close() { core.close() }

    /// See `TCPListener`.
    @available(*, noasync)
    public func serve(
        in context: Context? = nil, limit: Int? = nil, grace: Duration? = nil,
        _ handle: @escaping @Sendable (UnixConnection) -> Void
    ) throws(NetError) {
        try core.serve(in: context, limit: limit, grace: grace, { UnixConnection($0, remote: $1) }, handle)
    }
}

extension TCPListener: Sequence {
    /// Accepts until the listener is closed, or accepting fails for good.
    public struct Iterator: IteratorProtocol {
        let listener: TCPListener
        /// The next connection.
        public mutating func next() -> TCPConnection? { try? listener.accept() }
    }
    /// Accepts until the listener is closed, or accepting fails for good.
    @available(*, noasync)
    public func makeIterator() -> Iterator { Iterator(listener: self) }
}

extension UnixListener: Sequence {
    /// Accepts until the listener is closed, or accepting fails for good.
    public struct Iterator: IteratorProtocol {
        let listener: UnixListener
        /// The next connection.
        public mutating func next() -> UnixConnection? { try? listener.accept() }
    }
    /// Accepts until the listener is closed, or accepting fails for good.
    @available(*, noasync)
    public func makeIterator() -> Iterator { Iterator(listener: self) }
}

/// What both kinds of listeners are.
final class ListenerCore: Sendable {
    let descriptor: PollDescriptor
    let address: SocketAddress
    private let kind: ByteStream.Kind
    private let onExhaustion: (@Sendable (NetError) -> Void)?
    /// Closed with the listener.
    private let end = Channel<Never>()
    private let isEnding = SharedAtomic(0)

    init(_ wanted: SocketAddress, _ kind: ByteStream.Kind, _ options: ListenOptions) throws(NetError) {
        do throws(Errno) {
            let socket = try RawSocket(family: wanted.family, type: SOCK_STREAM_)
            if kind == .tcp {
                try socket.set(SOL_SOCKET, SO_REUSEADDR, options.reuseAddress ? 1 : 0)
                if options.reusePort { try socket.set(SOL_SOCKET, SO_REUSEPORT, 1) }
                if wanted.family == AF_INET6 { try socket.set(v6Level, IPV6_V6ONLY, options.v6Only ? 1 : 0) }
                // Linux gives them to what is accepted: no calls for each connection.
                try socket.set(options.connections)
            }
            try socket.bind(to: wanted)
            try socket.listen(backlog: options.backlog)
            descriptor = socket.take()
        } catch {
            throw NetError(.listen, "\(kind.rawValue) \(wanted)", wanted, .system(error))
        }
        // SAFETY: `read` has room for any address.
        let bound = descriptor.borrow { file in unsafe SocketAddress.read { unsafe getsockname(file, $0, $1) } }
        address = (bound ?? nil) ?? wanted
        self.kind = kind
        onExhaustion = options.onExhaustion
    }

    deinit { close() }

    func close() {
        guard isEnding.compareExchange(expected: 0, desired: 1) else { return }
        // SAFETY: reads a terminated string.
        if case .unix(let path) = address, !path.isEmpty, !path.hasPrefix("@") { _ = unsafe unlink(path) }
        end.close()
        descriptor.close()
    }

    // MARK: Accepting

    func accept(in context: Context?) throws(NetError) -> (PollDescriptor, SocketAddress?) {
        var pause = Pause()
        while true {
            do throws(PollFailure) {
                return try descriptor.perform(.reading, context) { file in acceptOne(file) }
            } catch {
                let error = failure(error)
                guard error.isExhausted else { throw error }
                onExhaustion?(error)
            }
            let context = context ?? .current
            do {
                try select {
                    After(pause.next()) {}
                    Receive(end) { _ in }
                    Canceled(context)
                }
            } catch { throw failure(.context(context.error!)) }
        }
    }

    nonisolated(nonsending)
        func accept() async throws(NetError) -> (PollDescriptor, SocketAddress?)
    {
        var pause = Pause()
        while true {
            do throws(PollFailure) {
                return try await descriptor.perform(.reading) { file in acceptOne(file) }
            } catch {
                let error = failure(error)
                guard error.isExhausted else { throw error }
                onExhaustion?(error)
            }
            do {
                try await select {
                    After(pause.next()) {}
                    Receive(end) { _ in }
                }
            } catch { throw failure(.taskCancelled) }
        }
    }

    private func acceptOne(_ file: Int32) -> Attempt<(PollDescriptor, SocketAddress?)> {
        var accepted: Int32 = -1
        var error: Int32 = 0
        // SAFETY: `read` has room for any address.
        let remote = unsafe SocketAddress.read { address, length in
            while true {
                accepted = unsafe csp_accept(file, address, length)
                if accepted >= 0 { return accepted }
                error = errno
                if !Self.passing.contains(error) { return -1 }
            }
        }
        if accepted < 0 { return error == EAGAIN ? .wouldBlock : .failed(error) }
        return .done((PollDescriptor(adopting: accepted), remote))
    }

    /// What only one connection had, which is gone: accept(2).
    private static let passing: Set<Int32> = [
        EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH,
    ]

    private func failure(_ failure: PollFailure) -> NetError {
        NetError(.accept, "\(kind.rawValue) \(address)", address, NetError.Cause(failure))
    }

    // MARK: Serving

    func serve<Connection: ByteStream>(
        in context: Context?, limit: Int?, grace: Duration?,
        _ make: (PollDescriptor, SocketAddress?) -> Connection, _ handle: @escaping @Sendable (Connection) -> Void
    ) throws(NetError) {
        let context = context ?? .current
        let slots = limit.map { CSP.Semaphore($0) }
        let open = Mutex<[ObjectIdentifier: Connection]>([:])
        let handlers = WaitGroup()
        let outcome = acceptAll(context, slots, make) { connection in
            let key = ObjectIdentifier(connection)
            open.withLock { $0[key] = connection }
            handlers.go {
                handle(connection)
                connection.close()
                open.withLock { _ = $0.removeValue(forKey: key) }
                slots?.release()
            }
        }
        close()
        var cut: Time.Timer?
        if let grace {
            cut = Time.Timer(grace) { for connection in open.withLock({ Array($0.values) }) { connection.close() } }
        }
        handlers.wait()
        _ = cut?.stop()
        if case .failure(let error) = outcome { throw error }
    }

    private func acceptAll<Connection: ByteStream>(
        _ context: Context, _ slots: CSP.Semaphore?, _ make: (PollDescriptor, SocketAddress?) -> Connection,
        _ begin: (Connection) -> Void
    ) -> Result<Void, NetError> {
        while true {
            do throws(ContextError) { try slots?.acquire(in: context) } catch { return .success(()) }
            do throws(NetError) {
                let (descriptor, remote) = try accept(in: context)
                begin(make(descriptor, remote))
            } catch {
                if case .context = error.cause { return .success(()) }
                return error.isClosed ? .success(()) : .failure(error)
            }
        }
    }
}

/// Longer and longer, from 5 ms to a second.
struct Pause {
    private var length = Duration.milliseconds(5)

    mutating func next() -> Duration {
        defer { length = min(.seconds(1), length * 2) }
        return length
    }
}

extension NetError {
    /// The system is short of something that others may give back.
    fileprivate var isExhausted: Bool {
        isOutOfDescriptors || errno == .noBufferSpace || errno == .noMemory
    }
}
