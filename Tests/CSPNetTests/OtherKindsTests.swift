import CSP
import CSPNet
import Foundation
import SystemPackage
import Testing

@Suite struct OtherKindsTests {
    /// A path that nobody uses.
    private func path(_ name: String = #function) -> String {
        NSTemporaryDirectory() + "csp-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0...UInt32.max))"
    }

    @Test func unixConnectionsComeByPathAndByName() {
        inGoroutine {
            for name in [path(), "@csp-\(UInt64.random(in: 0...UInt64.max))"] {
                let listener = try UnixListener(path: name)
                #expect(listener.address == .unix(name))
                let client = try UnixConnection.dial(path: name)
                let server = try listener.accept()
                try client.write("through \(name)")
                try client.closeWriting()
                #expect(try server.readToEnd(limit: 1000) == Array("through \(name)".utf8))
                #expect(client.remoteAddress == .unix(name))
                listener.close()
                #expect(failure { () throws(NetError) in _ = try UnixConnection.dial(path: name) } != nil)
                // The path is free again.
                try UnixListener(path: name).close()
            }
        }
    }

    @Test func aPathThatIsTooLongIsRefused() {
        let long = "/tmp/" + String(repeating: "x", count: 200)
        #expect(failure { () throws(NetError) in _ = try UnixListener(path: long) }?.errno == .fileNameTooLong)
        inGoroutine {
            #expect(
                failure { () throws(NetError) in _ = try UnixConnection.dial(path: long) }?.errno == .fileNameTooLong)
        }
    }

    @Test func aFullBacklogIsWaitedFor() {
        inGoroutine {
            let name = "@csp-\(UInt64.random(in: 0...UInt64.max))"
            var options = ListenOptions()
            options.backlog = 1
            let listener = try UnixListener(path: name, options), all = WaitGroup()
            for _ in 0..<10 { all.go { _ = try! UnixConnection.dial(path: name) } }
            for _ in 0..<10 { _ = try listener.accept() }
            all.wait()
        }
    }

    @Test func aPairIsConnected() {
        inGoroutine {
            let (a, b) = try UnixConnection.pair()
            let bytes = pattern(1 << 20)
            go { try? a.write(bytes) }
            #expect(try b.readAll(bytes.count) == bytes)
            b.close()
            #expect(failure { () throws(NetError) in try a.write(bytes) }?.isDisconnect == true)
        }
    }

    @Test func datagramsKeepTheirBounds() {
        inGoroutine {
            let a = try UDPSocket(boundTo: .ip(.loopback, port: 0)), b = try UDPSocket(connectedTo: a.localAddress!)
            try b.send([1, 2, 3])
            try b.send([UInt8]())
            try b.send(pattern(2000))
            let first = try a.receive()
            #expect(first.bytes == [1, 2, 3] && first.source == b.localAddress && !first.isTruncated)
            #expect(try a.receive().bytes == [])
            let cut = try a.receive(upTo: 100)
            #expect(cut.bytes == Array(pattern(2000)[..<100]) && cut.isTruncated)
            try a.send([9], to: first.source)
            #expect(try b.receive().bytes == [9])
            let error = failure { () throws(NetError) in try b.send(pattern(70_000)) }
            #expect(error?.errno == .messageTooLong)
            let got = Channel<[UInt8]?>()
            go("receiver") { got <- try? a.receive().bytes }
            #expect(eventually { isParked("receiver") })
            try b.send([7])
            #expect((<-got) == [7])
            a.setReadDeadline(Time.now)
            #expect(failure { () throws(NetError) in _ = try a.receive() }?.isTimeout == true)
            a.close()
            #expect(failure { () throws(NetError) in _ = try a.receive() }?.isClosed == true)
        }
    }

    @Test func unixDatagramsHoldUpTheSender() {
        inGoroutine {
            let name = path()
            let receiver = try UnixDatagram(boundTo: name)
            let sender = try UnixDatagram(connectedTo: name, boundTo: name + "-s")
            let all = WaitGroup()
            all.go("sender") { for n in 0..<2000 { try! sender.send([UInt8(truncatingIfNeeded: n)]) } }
            #expect(eventually { isParked("sender") })
            for n in 0..<2000 { #expect(try receiver.receive().bytes == [UInt8(truncatingIfNeeded: n)]) }
            all.wait()
            try sender.send([1])
            let last = try receiver.receive()
            #expect(last.source == .unix(name + "-s"))
            try receiver.send([2], to: last.source)
            #expect(try sender.receive().bytes == [2])
            receiver.close()
            sender.close()
            #expect(
                !FileManager.default.fileExists(atPath: name) && !FileManager.default.fileExists(atPath: name + "-s"))
        }
    }

    @Test func tasksSendDatagrams() async throws {
        let a = try UDPSocket(boundTo: .ip(.loopback, port: 0)), b = try UDPSocket(connectedTo: a.localAddress!)
        async let got = a.receive()
        try await b.send([4, 2])
        #expect(try await got.bytes == [4, 2])
    }

    @Test func pipesAreStreams() {
        inGoroutine {
            let (reading, writing) = try PolledFile.pipe()
            let bytes = pattern(1 << 20), done = Channel<NetError?>()
            go("writer") { done <- failure { () throws(NetError) in try writing.write([bytes, [1], bytes]) } }
            #expect(eventually { isParked("writer") })
            try reading.waitUntilReadable()
            #expect(try reading.readAll(2 * bytes.count + 1) == bytes + [1] + bytes)
            #expect((<-done) == .some(nil))
            let end = Channel<[UInt8]??>()
            go("reader") { end <- try? reading.read(upTo: 1) }
            #expect(eventually { isParked("reader") })
            writing.close()
            #expect((<-end) == .some(.some(nil)))
        }
    }

    @Test func aBrokenPipeKillsNobody() {
        inGoroutine {
            let (reading, writing) = try PolledFile.pipe()
            reading.close()
            for _ in 0..<3 {
                #expect(failure { () throws(NetError) in try writing.write("x") }?.errno == .brokenPipe)
                #expect(failure { () throws(NetError) in try writing.write([[1], [2]]) }?.errno == .brokenPipe)
            }
        }
    }

    @Test func filesOnADiskCannotBePolled() throws {
        let file = try unsafe FileDescriptor.open("/proc/self/exe", .readOnly)
        #expect(failure { () throws(NetError) in _ = try PolledFile(adopting: file) }?.errno == .notPermitted)
        // Still the caller's.
        try file.close()
    }

    @Test func descriptorNumbersMayBeUsedAgain() {
        inGoroutine {
            // One is closed under a reader while others get its number.
            for _ in 0..<200 {
                let (reading, writing) = try PolledFile.pipe()
                let result = Channel<NetError?>()
                go { result <- failure { () throws(NetError) in _ = try reading.read(upTo: 1) } }
                go { reading.close() }
                let (a, b) = try PolledFile.pipe()
                try b.write("new")
                #expect(try a.readAll(3) == Array("new".utf8))
                #expect((<-result)??.isClosed == true)
                withExtendedLifetime(writing) {}
            }
        }
    }
}
