import CSPNet
import Testing

@Suite struct SocketAddressTests {
    @Test(arguments: [
        "127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:443", "[fe80::1%7]:9", "[2001:db8::ff00:42]:1",
    ])
    func textIsReadAndWritten(_ text: String) {
        #expect(SocketAddress(text)?.description == text)
    }

    @Test(arguments: [
        "", ":80", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "1.2.3:4", "::1:80", "[127.0.0.1]:80",
        "[::1]", "[::1:80", "1.2.3.4:-1",
    ])
    func whatIsNoAddressIsRefused(_ text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test func anIPv6AddressIsWrittenShortest() {
        #expect(IPAddress("0:0:0:0:0:0:0:1") == .loopbackV6)
        #expect(IPAddress("2001:0db8:0000:0000:0000:0000:0000:0001")?.description == "2001:db8::1")
        #expect(IPAddress("::ffff:1.2.3.4")?.description == "::ffff:1.2.3.4")
        #expect(IPAddress.v6(1) == .loopbackV6)
    }

    @Test func bytesAreInTheNetworksOrder() {
        #expect(IPAddress(1, 2, 3, 4).bytes == [1, 2, 3, 4])
        #expect(IPAddress("102:304::5")?.bytes == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5])
    }

    @Test func familiesTakeTurns() {
        let a = IPAddress(1, 1, 1, 1), b = IPAddress(2, 2, 2, 2), six = IPAddress.loopbackV6, seven = IPAddress.v6(7)
        #expect(TCPConnection.interleaved([six, seven, a, b]) == [six, a, seven, b])
        #expect(TCPConnection.interleaved([a, b, six]) == [a, six, b])
        #expect(TCPConnection.interleaved([a]) == [a])
    }
}
