#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    private enum Storage: Hashable {
        case v4(UInt32)
        case v6(UInt128, scope: UInt32)
    }
    private let storage: Storage

    /// From the four bytes, first one first.
    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        storage = .v4(UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
    }

    init(v4: UInt32) { storage = .v4(v4) }
    init(v6: UInt128, scope: UInt32) { storage = .v6(v6, scope: scope) }

    /// Of IPv6: the bits, and which interface a link-local one belongs to (0: none).
    public static func v6(_ bits: UInt128, scope: UInt32 = 0) -> IPAddress { IPAddress(v6: bits, scope: scope) }

    /// As text: `127.0.0.1`, `::1`, `fe80::1%eth0`. Nil if it is not one; names are not looked up.
    public init?(_ text: String) {
        if let v4 = Self.parseV4(text) {
            storage = .v4(v4)
            return
        }
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var bits = in6_addr()
        // SAFETY: reads a terminated string, and writes one address.
        guard unsafe inet_pton(AF_INET6, String(parts[0]), &bits) == 1 else { return nil }
        var scope: UInt32 = 0
        if parts.count == 2 {
            // SAFETY: reads a terminated string.
            scope = unsafe UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            if scope == 0 { return nil }
        }
        storage = .v6(Self.bits(bits), scope: scope)
    }

    private static func parseV4(_ text: String) -> UInt32? {
        var bits = in_addr()
        // SAFETY: reads a terminated string, and writes one address.
        return unsafe inet_pton(AF_INET, text, &bits) == 1 ? UInt32(bigEndian: bits.s_addr) : nil
    }

    private static func bits(_ address: in6_addr) -> UInt128 {
        // SAFETY: both are sixteen bytes.
        unsafe UInt128(bigEndian: unsafeBitCast(address, to: UInt128.self))
    }

    /// 127.0.0.1
    public static let loopback = IPAddress(127, 0, 0, 1)
    /// ::1
    public static let loopbackV6 = IPAddress(v6: 1, scope: 0)
    /// All of this machine's addresses: 0.0.0.0
    public static let any = IPAddress(0, 0, 0, 0)
    /// The same with IPv6, which takes IPv4 as well where the system allows it: ::
    public static let anyV6 = IPAddress(v6: 0, scope: 0)

    /// Whether it has 128 bits.
    public var isV6: Bool { if case .v6 = storage { true } else { false } }

    /// The bytes in the network's order: 4 or 16.
    public var bytes: [UInt8] {
        switch storage {
        case .v4(let bits): (0..<4).map { UInt8(truncatingIfNeeded: bits >> UInt32(24 - 8 * $0)) }
        case .v6(let bits, _): (0..<16).map { UInt8(truncatingIfNeeded: bits >> UInt128(120 - 8 * $0)) }
        }
    }

    /// As text, the shortest.
    public var description: String {
        switch storage {
        case .v4(let bits): "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)"
        case .v6(let bits, let scope): Self.text(bits) + (scope == 0 ? "" : "%\(scope)")
        }
    }

    private static func text(_ bits: UInt128) -> String {
        // SAFETY: the buffer is larger than the longest text, which is terminated.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            var address = unsafe unsafeBitCast(bits.bigEndian, to: in6_addr.self)
            unsafe inet_ntop(AF_INET6, &address, buffer.baseAddress!, 64)
            return unsafe String(cString: buffer.baseAddress!)
        }
    }

    fileprivate func socketAddress(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        // SAFETY: the structs live through the call, and each begins as a sockaddr does.
        switch storage {
        case .v4(let bits):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = bits.bigEndian
            return unsafe withSocketAddress(&address, body)
        case .v6(let bits, let scope):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = unsafe unsafeBitCast(bits.bigEndian, to: in6_addr.self)
            address.sin6_scope_id = scope
            return unsafe withSocketAddress(&address, body)
        }
    }
}

/// Where a socket is, or should be: an IP address and a port, or a Unix socket's path.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// TCP's and UDP's.
    case ip(IPAddress, port: UInt16)
    /// A path of at most 107 bytes; with `@` in front, a name in Linux's abstract namespace; empty for a socket without one.
    case unix(String)

    /// As text: `127.0.0.1:80`, `[::1]:80`. Nil if it is not one; names are not looked up.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            return nil
        }
        guard let address = IPAddress(String(host)) else { return nil }
        self = .ip(address, port: port)
    }

    /// The IP address, if it has one.
    public var ip: IPAddress? { if case .ip(let address, _) = self { address } else { nil } }
    /// The port, if it has one.
    public var port: UInt16? { if case .ip(_, let port) = self { port } else { nil } }

    /// As text, which `init(_:)` understands.
    public var description: String {
        switch self {
        case .ip(let address, let port): address.isV6 ? "[\(address)]:\(port)" : "\(address):\(port)"
        case .unix(let path): path
        }
    }

    /// AF_INET, AF_INET6 or AF_UNIX.
    var family: Int32 {
        switch self {
        case .ip(let address, _): address.isV6 ? AF_INET6 : AF_INET
        case .unix: AF_UNIX
        }
    }

    // MARK: The system's form

    static var longestPath: Int { MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1 }

    /// Passes it to a system call. Nil, without a call, if a path is too long.
    func withSystemForm(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32? {
        switch self {
        case .ip(let address, let port): return unsafe address.socketAddress(port: port, body)
        case .unix(let path):
            var bytes = Array(path.utf8)
            if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
            guard bytes.count <= Self.longestPath, !bytes.dropFirst().contains(0) else { return nil }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            // SAFETY: the path is shorter than its place, whose other bytes are zero; the struct lives through the call.
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
            let offset = MemoryLayout<sa_family_t>.size
            // An abstract name ends where the length says; a path's terminator counts.
            let length = bytes.isEmpty ? offset : offset + bytes.count + (bytes[0] == 0 ? 0 : 1)
            return unsafe withSocketAddress(&address) { pointer, _ in unsafe body(pointer, socklen_t(length)) }
        }
    }

    /// What `body`, a system call, writes. Nil if that fails, or is of a family unknown here.
    static func read(_ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32)
        -> SocketAddress?
    {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: the storage holds any address, and begins as a sockaddr does.
        let result = unsafe withUnsafeMutablePointer(to: &storage) { storage in
            unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, &length) }
        }
        return result < 0 ? nil : SocketAddress(storage, Int(length))
    }

    init?(_ storage: sockaddr_storage, _ length: Int) {
        // SAFETY: by its family, the storage begins with such a struct, and is larger than each.
        let address: SocketAddress? = unsafe withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let address = unsafe bytes.load(as: sockaddr_in.self)
                return .ip(
                    IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port)
                )
            case AF_INET6:
                let address = unsafe bytes.load(as: sockaddr_in6.self)
                let bits = unsafe UInt128(bigEndian: unsafeBitCast(address.sin6_addr, to: UInt128.self))
                return .ip(
                    IPAddress(v6: bits, scope: address.sin6_scope_id), port: UInt16(bigEndian: address.sin6_port))
            case AF_UNIX:
                var path = unsafe Array(bytes[min(length, MemoryLayout<sa_family_t>.size)..<length])
                if path.first == 0 { path[0] = UInt8(ascii: "@") } else { path = Array(path.prefix { $0 != 0 }) }
                return .unix(String(decoding: path, as: UTF8.self))
            default: return nil
            }
        }
        guard let address else { return nil }
        self = address
    }
}

private func withSocketAddress<T>(
    _ address: inout T, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) -> Int32 {
    // SAFETY: each kind of address begins as a sockaddr does.
    unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe body($0, socklen_t(MemoryLayout<T>.size))
        }
    }
}
