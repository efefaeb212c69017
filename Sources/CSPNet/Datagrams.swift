public import CSP
public import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A datagram and where it came from.
public struct Datagram: Sendable {
    /// What was sent, or the beginning of it.
    public let bytes: [UInt8]
    /// The sender's address.
    public let source: SocketAddress
    /// Whether there was no room for all of it.
    public let isTruncated: Bool
}

/// A socket for datagrams: each is sent and received as a whole, or not at all. See `ByteStream` for what ends a wait.
public class DatagramSocket: @unchecked Sendable {
    // SAFETY: (whole type) all of it is written once.
    final let descriptor: PollDescriptor
    private let kind: String
    /// Whom it is connected with, if it is.
    public final let remoteAddress: SocketAddress?

    fileprivate init(
        _ kind: String, local: SocketAddress?, remote: SocketAddress?,
        options: (borrowing RawSocket) throws(Errno) -> Void
    ) throws(NetError) {
        let address = local ?? remote
        do throws(Errno) {
            let socket = try RawSocket(family: address?.family ?? AF_INET6, type: SOCK_DGRAM_)
            try options(socket)
            if let local { try socket.bind(to: local) }
            if let remote { try socket.connect(to: remote) }
            descriptor = socket.take()
        } catch {
            let words = address.map { "\(kind) \($0)" } ?? kind
            throw NetError(local == nil ? .dial : .listen, words, address, .system(error))
        }
        self.kind = kind
        remoteAddress = remote
    }

    /// Where it is bound, if it is and is not closed.
    public final var localAddress: SocketAddress? {
        // SAFETY: `read` has room for any address.
        descriptor.borrow { file in unsafe SocketAddress.read { unsafe getsockname(file, $0, $1) } } ?? nil
    }

    // MARK: Receiving

    /// Waits for a datagram, of which it keeps up to `count` bytes.
    @available(*, noasync)
    public final func receive(upTo count: Int = 65_536, in context: Context? = nil) throws(NetError) -> Datagram {
        do throws(PollFailure) {
            return try descriptor.perform(.reading, context) { file in Self.receive(file, count) }
        } catch { throw failure(.read, error) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func receive(upTo count: Int = 65_536) async throws(NetError) -> Datagram
    {
        do throws(PollFailure) {
            return try await descriptor.perform(.reading) { file in Self.receive(file, count) }
        } catch { throw failure(.read, error) }
    }

    private static func receive(_ file: Int32, _ count: Int) -> Attempt<Datagram> {
        var size = 0
        var attempt = Attempt<Int>.wouldBlock
        var source: SocketAddress?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            // SAFETY: `read` has room for any address; the kernel writes within the buffer.
            source = unsafe SocketAddress.read { address, length in
                attempt = Attempt<Int>.call {
                    unsafe recvfrom(file, buffer.baseAddress, buffer.count, Int32(MSG_TRUNC), address, length)
                }
                if case .done(let found) = attempt { size = found }
                return 0
            }
            used = min(size, count)
        }
        switch attempt {
        case .done, .drained:
            return .done(Datagram(bytes: bytes, source: source ?? .unix(""), isTruncated: size > count))
        case .wouldBlock: return .wouldBlock
        case .failed(let error): return .failed(error)
        }
    }

    // MARK: Sending

    /// Sends a datagram to `address`, or if that is nil to whom the socket is connected with. Waits only if there is no room for it on this machine.
    @available(*, noasync)
    public final func send(_ bytes: RawSpan, to address: SocketAddress? = nil, in context: Context? = nil)
        throws(NetError)
    {
        do throws(PollFailure) {
            try descriptor.perform(.writing, context) { file in Self.send(file, bytes, address) }
        } catch { throw failure(.write, error, address) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func send(_ bytes: RawSpan, to address: SocketAddress? = nil) async throws(NetError)
    {
        do throws(PollFailure) {
            try await descriptor.perform(.writing) { file in Self.send(file, bytes, address) }
        } catch { throw failure(.write, error, address) }
    }

    /// As `send` of a raw span.
    @available(*, noasync)
    public final func send(_ bytes: [UInt8], to address: SocketAddress? = nil, in context: Context? = nil)
        throws(NetError)
    {
        // SAFETY: bytes have no padding.
        try unsafe send(bytes.span.bytes, to: address, in: context)
    }

    /// As `send` of a raw span.
    nonisolated(nonsending)
        public final func send(_ bytes: [UInt8], to address: SocketAddress? = nil) async throws(NetError)
    {
        // SAFETY: bytes have no padding.
        try await unsafe send(bytes.span.bytes, to: address)
    }

    private static func send(_ file: Int32, _ bytes: RawSpan, _ address: SocketAddress?) -> Attempt<Void> {
        // SAFETY: the kernel reads within the span; the address lives through the call.
        let attempt = unsafe bytes.withUnsafeBytes { bytes in
            Attempt<Int>.call {
                guard let address else {
                    return unsafe Glibc.send(file, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
                }
                let result = unsafe address.withSystemForm { target, length in
                    unsafe Int32(
                        sendto(file, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL), target, length))
                }
                if result == nil { errno = ENAMETOOLONG }
                return Int(result ?? -1)
            }
        }
        switch attempt {
        case .done, .drained: return .done(())
        case .wouldBlock: return .wouldBlock
        case .failed(let error): return .failed(error)
        }
    }

    // MARK: Deadlines and closing

    /// See `ByteStream`.
    public final func setDeadline(_ instant: Time.Instant?) {
        descriptor.setDeadline(instant, for: [.reading, .writing])
    }
    /// See `ByteStream`.
    public final func setReadDeadline(_ instant: Time.Instant?) { descriptor.setDeadline(instant, for: .reading) }
    /// See `ByteStream`.
    public final func setWriteDeadline(_ instant: Time.Instant?) { descriptor.setDeadline(instant, for: .writing) }

    /// See `ByteStream`.
    public func close() { descriptor.close() }

    /// See `ByteStream`.
    public final func withDescriptor<T>(_ body: (FileDescriptor) throws -> T) throws -> T {
        guard let result = try descriptor.borrow({ try body(FileDescriptor(rawValue: $0)) }) else {
            throw failure(.open, .closed)
        }
        return result
    }

    fileprivate final func failure(
        _ operation: NetError.Operation, _ failure: PollFailure, _ address: SocketAddress? = nil
    ) -> NetError {
        let remote = address ?? remoteAddress
        let addresses = [localAddress, remote].compactMap { $0 }.map { "\($0)" }.filter { !$0.isEmpty }
        let words = addresses.isEmpty ? kind : "\(kind) \(addresses.joined(separator: "->"))"
        return NetError(operation, words, remote, NetError.Cause(failure))
    }
}

/// A UDP socket.
public final class UDPSocket: DatagramSocket, @unchecked Sendable {
    /// Bound to `address`; port 0: to one that is free.
    public init(boundTo address: SocketAddress, reusePort: Bool = false) throws(NetError) {
        try super.init("udp", local: address, remote: nil) { socket throws(Errno) in
            if reusePort { try socket.set(SOL_SOCKET, SO_REUSEPORT, 1) }
        }
    }

    /// Sends to `address` and receives from nobody else.
    public init(connectedTo address: SocketAddress) throws(NetError) {
        try super.init("udp", local: nil, remote: address) { _ throws(Errno) in }
    }

    /// Whether datagrams may go to broadcast addresses.
    public func setBroadcast(_ isOn: Bool) throws(NetError) {
        do throws(PollFailure) {
            try descriptor.change { file throws(Errno) in
                try RawSocket.set(file, SOL_SOCKET, SO_BROADCAST, isOn ? 1 : 0)
            }
        } catch { throw failure(.option, error) }
    }
}

/// A Unix socket for datagrams, which are neither lost nor reordered: a sender waits while the receiver's queue is full.
public final class UnixDatagram: DatagramSocket, @unchecked Sendable {
    private let path: String?

    /// Bound to `path`, where nothing must be yet, and which is removed by `close`; with `@` in front, to a name in Linux's abstract namespace.
    public init(boundTo path: String) throws(NetError) {
        self.path = path.hasPrefix("@") ? nil : path
        try super.init("unixgram", local: .unix(path), remote: nil) { _ throws(Errno) in }
    }

    /// Sends to `path`. Bound to `local`, if given: without, nobody can answer.
    public init(connectedTo path: String, boundTo local: String? = nil) throws(NetError) {
        self.path = local.flatMap { $0.hasPrefix("@") ? nil : $0 }
        try super.init("unixgram", local: local.map { .unix($0) }, remote: .unix(path)) { _ throws(Errno) in }
    }

    deinit { removePath() }

    /// See `ByteStream`.
    public override func close() {
        removePath()
        super.close()
    }

    private func removePath() {
        // Only the first time: somebody else may be there by now.
        // SAFETY: reads a terminated string.
        if let path, descriptor.borrow({ _ in }) != nil { _ = unsafe unlink(path) }
    }
}
