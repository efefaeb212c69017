import CSP
import CSPNet
import Glibc
import SystemPackage

/// Two ends of a TCP connection over the loopback, and the listener it came through, which is closed.
func tcpPair(_ options: ListenOptions = ListenOptions()) throws -> (client: TCPConnection, server: TCPConnection) {
    let listener = try TCPListener(.ip(.loopback, port: 0), options)
    defer { listener.close() }
    // The system completes it before anybody accepts.
    let client = try TCPConnection.dial(listener.address, options.connections)
    return (client, try listener.accept())
}

/// The error that `body` throws, if it does.
func failure(_ body: () throws(NetError) -> Void) -> NetError? {
    do {
        try body()
        return nil
    } catch { return error }
}

/// `count` bytes that tell their place.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
    }
}

extension ByteStream {
    /// Reads exactly that many bytes, or fewer at the end.
    func readAll(_ count: Int) throws(NetError) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count, let some = try read(upTo: count - all.count) { all += some }
        return all
    }
}

/// What the system says of a socket's option.
func option(_ stream: ByteStream, _ level: Int32, _ name: Int32) throws -> Int32 {
    try stream.withDescriptor { file in
        var value: Int32 = 0
        var length = socklen_t(4)
        guard unsafe getsockopt(file.rawValue, level, name, &value, &length) == 0 else { throw Errno(rawValue: errno) }
        return value
    }
}
