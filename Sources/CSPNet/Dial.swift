public import CSP
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension TCPConnection {
    /// Connects to `address`.
    /// - Parameter context: Ends the attempt; give one with a deadline, for the system may try for minutes.
    @available(*, noasync)
    public static func dial(
        _ address: SocketAddress, _ options: TCPOptions = TCPOptions(), in context: Context? = nil
    ) throws(NetError) -> TCPConnection {
        guard case .ip = address else {
            throw NetError(.dial, "tcp \(address)", address, .badAddress("not an IP address"))
        }
        // A connection with itself is what the system makes of an attempt from the very port that is asked for.
        for _ in 0..<3 {
            let connection = TCPConnection(try connect(address, .tcp, options, context), remote: address)
            if connection.localAddress != address { return connection }
        }
        throw NetError(.dial, "tcp \(address)", address, .system(.connectionRefused))
    }

    /// Connects to `host`: to the first of its addresses that answers. They are tried as RFC 8305 says, IPv6 and IPv4 in turn, the next one when the last has
    /// failed or not answered within 250 ms.
    @available(*, noasync)
    public static func dial(
        host: String, port: UInt16, _ options: TCPOptions = TCPOptions(), in context: Context? = nil
    ) throws(NetError) -> TCPConnection {
        let context = context ?? .current
        let addresses = try Resolver.addresses(of: host, in: context)
        if addresses.count == 1 { return try dial(.ip(addresses[0], port: port), options, in: context) }
        return try race(interleaved(addresses).map { .ip($0, port: port) }, host, options, context)
    }

    /// As `dial` on a goroutine, in a Swift task; ended by its cancellation.
    nonisolated(nonsending)
        public static func dial(
            _ address: SocketAddress, _ options: TCPOptions = TCPOptions()
        ) async throws(NetError) -> TCPConnection
    {
        try await Goroutine.run { () throws(NetError) in try dial(address, options, in: nil) }
    }

    /// As `dial` on a goroutine, in a Swift task; ended by its cancellation.
    nonisolated(nonsending)
        public static func dial(
            host: String, port: UInt16, _ options: TCPOptions = TCPOptions()
        ) async throws(NetError) -> TCPConnection
    {
        try await Goroutine.run { () throws(NetError) in try dial(host: host, port: port, options, in: nil) }
    }

    /// RFC 8305, section 4: families in turn, beginning with that of the best address.
    package static func interleaved(_ addresses: [IPAddress]) -> [IPAddress] {
        let first = addresses.filter { $0.isV6 == addresses[0].isV6 }
        let second = addresses.filter { $0.isV6 != addresses[0].isV6 }
        var all: [IPAddress] = []
        for index in 0..<max(first.count, second.count) {
            if index < first.count { all.append(first[index]) }
            if index < second.count { all.append(second[index]) }
        }
        return all
    }

    /// RFC 8305, section 5, "Connection Attempt Delay".
    private static let attemptDelay = Duration.milliseconds(250)

    private enum Event {
        case result(Result<TCPConnection, NetError>)
        case nextIsDue, contextIsDone
    }

    package static func race(
        _ addresses: [SocketAddress], _ name: String, _ options: TCPOptions, _ context: Context
    ) throws(NetError) -> TCPConnection {
        let (racing, cancel) = context.withCancel()
        // Ends the attempts that are left; a connection that one of them makes nevertheless is closed with the channel.
        defer { cancel() }
        let results = Channel<Result<TCPConnection, NetError>>(capacity: addresses.count)
        var begun = 0, failed = 0
        var firstError: NetError?
        while failed < addresses.count {
            if begun < addresses.count {
                let address = addresses[begun]
                begun += 1
                go("dial \(address)") {
                    do throws(NetError) {
                        let connection = try dial(address, options, in: racing)
                        results <- .success(connection)
                    } catch { results <- .failure(error) }
                }
            }
            let event = select {
                Receive(results) { Event.result($0!) }
                Receive(begun < addresses.count ? Time.after(attemptDelay) : nil) { _ in Event.nextIsDue }
                Receive(context.done) { _ in Event.contextIsDone }
            }
            switch event {
            case .result(.success(let connection)): return connection
            case .result(.failure(let error)):
                firstError = firstError ?? error
                failed += 1
            case .nextIsDue: break
            case .contextIsDone: throw NetError(.dial, "tcp \(name)", nil, .context(context.error!))
            }
        }
        throw firstError!
    }
}

extension UnixConnection {
    /// Connects to the listener at `path`; with `@` in front, a name in Linux's abstract namespace.
    @available(*, noasync)
    public static func dial(path: String, in context: Context? = nil) throws(NetError) -> UnixConnection {
        let address = SocketAddress.unix(path)
        var pause = Pause()
        while true {
            do throws(NetError) {
                return UnixConnection(try connect(address, .unix, nil, context), remote: address)
            } catch {
                // The listener's backlog is full, and the system tells nobody when it is not any more.
                guard error.errno == .resourceTemporarilyUnavailable else { throw error }
            }
            do throws(ContextError) {
                try Time.sleep(for: min(pause.next(), .milliseconds(40)), in: context ?? .current)
            } catch { throw NetError(.dial, "unix \(path)", address, .context(error)) }
        }
    }

    /// As `dial` on a goroutine, in a Swift task; ended by its cancellation.
    nonisolated(nonsending)
        public static func dial(path: String) async throws(NetError) -> UnixConnection
    {
        try await Goroutine.run { () throws(NetError) in try dial(path: path, in: nil) }
    }
}

/// A socket that is connected to `address`.
private func connect(
    _ address: SocketAddress, _ kind: ByteStream.Kind, _ options: TCPOptions?, _ context: Context?
) throws(NetError) -> PollDescriptor {
    do throws(PollFailure) {
        let descriptor = try openSocket(address, options)
        var hasBegun = false
        try descriptor.perform(.writing, context) { file in
            if hasBegun { return outcome(file) }
            hasBegun = true
            return begin(descriptor, file, address)
        }
        return descriptor
    } catch {
        throw NetError(.dial, "\(kind.rawValue) \(address)", address, NetError.Cause(error))
    }
}

private func openSocket(_ address: SocketAddress, _ options: TCPOptions?) throws(PollFailure) -> PollDescriptor {
    do throws(Errno) {
        let socket = try RawSocket(family: address.family, type: SOCK_STREAM_)
        if let options { try socket.set(options) }
        return socket.take()
    } catch { throw .system(error.rawValue) }
}

private func begin(_ descriptor: PollDescriptor, _ file: Int32, _ address: SocketAddress) -> Attempt<Void> {
    // SAFETY: the address lives through the call.
    guard let result = unsafe address.withSystemForm({ unsafe connect(file, $0, $1) }) else {
        return .failed(ENAMETOOLONG)
    }
    let error = errno
    if result == 0 { return .done(()) }
    guard error == EINPROGRESS || error == EINTR else { return .failed(error) }
    // Not before: a socket that is not connecting counts as hung up. In both directions, since one call is cheaper than two.
    let refusal = descriptor.watch([.reading, .writing])
    return refusal == 0 ? .wouldBlock : .failed(refusal)
}

/// What an attempt has come to that was under way.
private func outcome(_ file: Int32) -> Attempt<Void> {
    do throws(Errno) {
        let error = try RawSocket.get(file, SOL_SOCKET, SO_ERROR)
        switch error {
        case 0, EISCONN: break
        case EINPROGRESS, EALREADY, EINTR: return .wouldBlock
        default: return .failed(error)
        }
    } catch { return .failed(error.rawValue) }
    // Woken for nothing, perhaps.
    // SAFETY: `read` has room for any address.
    return unsafe SocketAddress.read({ unsafe getpeername(file, $0, $1) }) == nil ? .wouldBlock : .done(())
}
