import CSP
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// How TCP connections behave, dialed or accepted.
public struct TCPOptions: Sendable {
    /// Sends small writes at once, and does not wait for more (TCP_NODELAY).
    public var noDelay = true
    /// Asks an idle peer after this time, and then as often, whether it is still there; nil: never. After nine requests without an answer reads fail.
    public var keepAlive: Duration? = .seconds(15)
    /// What `close` does with bytes that are not sent yet. Nil: the system goes on sending them. Zero: drops them, and resets the connection.
    /// Longer: `close` blocks its thread, at most that long, until they are sent.
    public var linger: Duration?
    /// Bytes that the system keeps for reading, and for writing (SO_RCVBUF, SO_SNDBUF); nil: its own choice.
    public var receiveBuffer: Int?
    /// See `receiveBuffer`.
    public var sendBuffer: Int?

    /// As usual.
    public init() {}
}

/// How a listener listens.
public struct ListenOptions: Sendable {
    /// Connections that wait to be accepted, at most; the system has a limit of its own (net.core.somaxconn).
    public var backlog = 4096
    /// Binds although connections of an earlier listener are still about (SO_REUSEADDR).
    public var reuseAddress = true
    /// Binds although others listen there, who want the same; the system spreads connections over all of them (SO_REUSEPORT).
    public var reusePort = false
    /// An IPv6 listener at `::` takes no IPv4.
    public var v6Only = false
    /// What accepted connections have.
    public var connections = TCPOptions()
    /// Told when a connection cannot be accepted for lack of descriptors or memory. The listener tries again, later and later, up to a second.
    public var onExhaustion: (@Sendable (NetError) -> Void)?

    /// As usual.
    public init() {}
}

/// A socket's descriptor on its way to its owner: closed if it does not get there.
struct RawSocket: ~Copyable {
    private let file: Int32

    /// - Parameter type: SOCK_STREAM or SOCK_DGRAM.
    init(family: Int32, type: Int32) throws(Errno) {
        file = socket(family, type | Self.flags, 0)
        if file < 0 { throw Errno(rawValue: errno) }
    }

    init(adopting file: Int32) { self.file = file }

    deinit { _ = Glibc.close(file) }

    static var flags: Int32 { SOCK_NONBLOCK_ | SOCK_CLOEXEC_ }

    consuming func take() -> PollDescriptor {
        let file = file
        discard self
        return PollDescriptor(adopting: file)
    }

    // MARK: Options

    func set(_ level: Int32, _ option: Int32, _ value: Int32) throws(Errno) { try Self.set(file, level, option, value) }

    static func set(_ file: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(Errno) {
        var value = value
        // SAFETY: the value lives through the call.
        if unsafe setsockopt(file, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) != 0 {
            throw Errno(rawValue: errno)
        }
    }

    static func get(_ file: Int32, _ level: Int32, _ option: Int32) throws(Errno) -> Int32 {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // SAFETY: the value lives through the call.
        if unsafe getsockopt(file, level, option, &value, &length) != 0 { throw Errno(rawValue: errno) }
        return value
    }

    func set(_ options: TCPOptions) throws(Errno) {
        try set(tcpLevel, TCP_NODELAY, options.noDelay ? 1 : 0)
        try Self.setKeepAlive(file, options.keepAlive)
        if let linger = options.linger { try Self.setLinger(file, linger) }
        if let size = options.receiveBuffer { try set(SOL_SOCKET, SO_RCVBUF, Int32(clamping: size)) }
        if let size = options.sendBuffer { try set(SOL_SOCKET, SO_SNDBUF, Int32(clamping: size)) }
    }

    static func setKeepAlive(_ file: Int32, _ period: Duration?) throws(Errno) {
        try set(file, SOL_SOCKET, SO_KEEPALIVE, period == nil ? 0 : 1)
        guard let period else { return }
        let seconds = Int32(clamping: max(1, period.components.seconds))
        try set(file, tcpLevel, TCP_KEEPIDLE, seconds)
        try set(file, tcpLevel, TCP_KEEPINTVL, seconds)
    }

    static func setLinger(_ file: Int32, _ duration: Duration?) throws(Errno) {
        // Rounded up: zero means something else.
        let (seconds, rest) = (duration ?? .zero).components
        var value = linger(
            l_onoff: duration == nil ? 0 : 1, l_linger: Int32(clamping: max(0, seconds + (rest > 0 ? 1 : 0))))
        // SAFETY: the value lives through the call.
        if unsafe setsockopt(file, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size)) != 0 {
            throw Errno(rawValue: errno)
        }
    }

    // MARK: Addresses

    func bind(to address: SocketAddress) throws(Errno) {
        // SAFETY: the address lives through the call.
        guard let result = unsafe address.withSystemForm({ unsafe Glibc.bind(file, $0, $1) }) else {
            throw .fileNameTooLong
        }
        if result != 0 { throw Errno(rawValue: errno) }
    }

    func listen(backlog: Int) throws(Errno) {
        if Glibc.listen(file, Int32(clamping: max(1, backlog))) != 0 { throw Errno(rawValue: errno) }
    }

    /// For datagrams, which need not wait.
    func connect(to address: SocketAddress) throws(Errno) {
        // SAFETY: the address lives through the call.
        guard let result = unsafe address.withSystemForm({ unsafe Glibc.connect(file, $0, $1) }) else {
            throw .fileNameTooLong
        }
        if result != 0 { throw Errno(rawValue: errno) }
    }
}

let SOCK_STREAM_ = Int32(SOCK_STREAM.rawValue)
let SOCK_DGRAM_ = Int32(SOCK_DGRAM.rawValue)
private let SOCK_NONBLOCK_ = Int32(SOCK_NONBLOCK.rawValue)
private let SOCK_CLOEXEC_ = Int32(SOCK_CLOEXEC.rawValue)
let tcpLevel = Int32(IPPROTO_TCP)
let v6Level = Int32(IPPROTO_IPV6)

extension PollDescriptor {
    /// Tells the other side that nothing more comes from here, or that nothing more is read here.
    func shutDown(_ how: Int32) throws(PollFailure) {
        guard let error = borrow({ file in shutdown(file, how) == 0 ? 0 : errno }) else { throw .closed }
        if error != 0 { throw .system(error) }
    }

    /// Runs `body` with the open descriptor.
    func change(_ body: (Int32) throws(Errno) -> Void) throws(PollFailure) {
        let result = borrow { file -> Int32 in
            do throws(Errno) {
                try body(file)
                return 0
            } catch { return error.rawValue }
        }
        guard let result else { throw .closed }
        if result != 0 { throw .system(result) }
    }
}
