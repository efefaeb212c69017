import CCSP
public import CSP
public import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A TCP connection.
public final class TCPConnection: ByteStream, @unchecked Sendable {
    init(_ descriptor: PollDescriptor, remote: SocketAddress?) { super.init(descriptor, .tcp, remote: remote) }

    /// Sends small writes at once, and does not wait for more; so it is unless this says otherwise.
    public func setNoDelay(_ isOn: Bool) throws(NetError) {
        try change { file throws(Errno) in try RawSocket.set(file, tcpLevel, TCP_NODELAY, isOn ? 1 : 0) }
    }

    /// See `TCPOptions.keepAlive`.
    public func setKeepAlive(_ period: Duration?) throws(NetError) {
        try change { file throws(Errno) in try RawSocket.setKeepAlive(file, period) }
    }

    /// See `TCPOptions.linger`.
    public func setLinger(_ duration: Duration?) throws(NetError) {
        try change { file throws(Errno) in try RawSocket.setLinger(file, duration) }
    }

    private func change(_ body: (Int32) throws(Errno) -> Void) throws(NetError) {
        do throws(PollFailure) { try descriptor.change(body) } catch { throw failure(.option, error) }
    }

    /// Nothing more comes from this side, which may go on reading: the other one reads the end.
    public func closeWriting() throws(NetError) { try shutDown(Int32(SHUT_WR)) }

    /// Nothing more is read on this side, also by who waits: they read the end.
    public func closeReading() throws(NetError) { try shutDown(Int32(SHUT_RD)) }
}

/// A connection between processes of one machine, by a socket in the file system or with an abstract name.
public final class UnixConnection: ByteStream, @unchecked Sendable {
    init(_ descriptor: PollDescriptor, remote: SocketAddress?) { super.init(descriptor, .unix, remote: remote) }

    /// Two that are connected with each other.
    public static func pair() throws(NetError) -> (UnixConnection, UnixConnection) {
        var ends: (Int32, Int32) = (-1, -1)
        // SAFETY: two integers are an array of two.
        let result = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe socketpair(
                AF_UNIX, SOCK_STREAM_ | RawSocket.flags, 0, $0.baseAddress!.assumingMemoryBound(to: Int32.self))
        }
        if result != 0 { throw NetError(.open, "unix", nil, .system(Errno(rawValue: errno))) }
        return (
            UnixConnection(PollDescriptor(adopting: ends.0), remote: .unix("")),
            UnixConnection(PollDescriptor(adopting: ends.1), remote: .unix(""))
        )
    }

    /// Nothing more comes from this side, which may go on reading: the other one reads the end.
    public func closeWriting() throws(NetError) { try shutDown(Int32(SHUT_WR)) }

    /// Nothing more is read on this side, also by who waits: they read the end.
    public func closeReading() throws(NetError) { try shutDown(Int32(SHUT_RD)) }
}

extension ByteStream {
    final func shutDown(_ how: Int32) throws(NetError) {
        do throws(PollFailure) { try descriptor.shutDown(how) } catch { throw failure(.close, error) }
    }
}

/// Any descriptor that the kernel can tell of: a pipe, a terminal, an eventfd, inotify, a pidfd, a serial line. Not a file on a disk.
public final class PolledFile: ByteStream, @unchecked Sendable {
    /// Takes `file` over, which is closed with this, and sets its O_NONBLOCK; that is shared with all copies of the descriptor, in other processes too.
    /// - Throws: `notPermitted` for what cannot be polled, which is then still the caller's.
    public init(adopting file: FileDescriptor) throws(NetError) {
        let flags = fcntl(file.rawValue, F_GETFL)
        guard flags >= 0, fcntl(file.rawValue, F_SETFL, flags | O_NONBLOCK) >= 0 else {
            throw NetError(.open, "file \(file.rawValue)", nil, .system(Errno(rawValue: errno)))
        }
        // A copy first: what is adopted is closed in any case.
        let copy = fcntl(file.rawValue, F_DUPFD_CLOEXEC, 0)
        if copy < 0 {
            let error = errno
            _ = fcntl(file.rawValue, F_SETFL, flags)
            throw NetError(.open, "file \(file.rawValue)", nil, .system(Errno(rawValue: error)))
        }
        let descriptor = PollDescriptor(adopting: copy)
        let error = descriptor.watch([.reading, .writing])
        if error != 0 {
            _ = fcntl(file.rawValue, F_SETFL, flags)
            throw NetError(.open, "file \(file.rawValue)", nil, .system(Errno(rawValue: error)))
        }
        _ = Glibc.close(file.rawValue)
        super.init(descriptor, .file, remote: nil)
    }

    private init(_ descriptor: PollDescriptor) { super.init(descriptor, .file, remote: nil) }

    /// A pipe: what is written to one end is read from the other.
    public static func pipe() throws(NetError) -> (reading: PolledFile, writing: PolledFile) {
        // Not by way of `init(adopting:)`, which takes further descriptors and may find none, when the pipe has its own.
        do throws(Errno) {
            let (reading, writing) = try openPipe()
            return (PolledFile(PollDescriptor(adopting: reading)), PolledFile(PollDescriptor(adopting: writing)))
        } catch { throw NetError(.open, "pipe", nil, .system(error)) }
    }

    /// Waits until there is something to read, or the end, and reads nothing.
    @available(*, noasync)
    public func waitUntilReadable(in context: Context? = nil) throws(NetError) {
        do throws(PollFailure) {
            try descriptor.perform(.reading, context) { file in Self.isReadable(file) }
        } catch { throw failure(.wait, error) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func waitUntilReadable() async throws(NetError)
    {
        do throws(PollFailure) {
            try await descriptor.perform(.reading) { file in Self.isReadable(file) }
        } catch { throw failure(.wait, error) }
    }

    private static func isReadable(_ file: Int32) -> Attempt<Void> {
        var look = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
        // SAFETY: the struct lives through the call.
        switch Attempt<Int>.call({ unsafe Int(poll(&look, 1, 0)) }) {
        case .done(let count), .drained(let count): return count > 0 ? .done(()) : .wouldBlock
        case .wouldBlock: return .wouldBlock
        case .failed(let error): return .failed(error)
        }
    }
}

/// A pipe whose ends do not block and are not inherited.
/// - Parameter size: Its room in bytes, if the system allows that; 0: as usual.
func openPipe(size: Int32 = 0) throws(Errno) -> (reading: Int32, writing: Int32) {
    var ends: (Int32, Int32) = (-1, -1)
    // SAFETY: two integers are an array of two.
    let error = unsafe withUnsafeMutableBytes(of: &ends) {
        unsafe csp_open_pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self), size)
    }
    if error != 0 { throw Errno(rawValue: error) }
    return ends
}
