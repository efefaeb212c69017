import CSP
import CSPNet
import Foundation
import Servers
import Testing

@Suite(.timeLimit(.minutes(5))) struct ServersTests {
    /// Runs `body` beside a server that `serve` runs, and ends that.
    private func beside(
        _ serve: @escaping @Sendable (Context) throws -> Void, _ body: sending @escaping () throws -> Void
    ) async throws {
        try await Goroutine.run {
            try withGoroutines { group in
                let (context, stop) = group.context.withCancel()
                group.go { try serve(context) }
                defer { stop() }
                try body()
            }
        }
    }

    @Test func whatIsSentToTheEchoComesBack() async throws {
        let server = try await Goroutine.run { try EchoServer(host: "127.0.0.1", port: 0) }
        try await beside(server.run) {
            var load = EchoLoad(address: server.address)
            load.connections = 20
            load.messageSize = 5000
            load.duration = .seconds(1)
            let report = load.run()
            #expect(report.messages > 0 && report.failures.isEmpty)
            #expect(report.text.contains("0 connections failed"))
        }
    }

    @Test func aLoadWithoutAServerReportsThat() async throws {
        try await Goroutine.run {
            let listener = try TCPListener(host: "127.0.0.1", port: 0)
            listener.close()
            var load = EchoLoad(address: listener.address)
            load.connections = 3
            let report = load.run()
            #expect(report.messages == 0 && report.failures.count == 3)
        }
    }

    /// One who has come into the room by that name.
    private func guest(_ name: String, _ server: ChatServer) throws -> (TCPConnection, BufferedReader) {
        let connection = try TCPConnection.dial(server.address)
        let reader = BufferedReader(connection)
        #expect(try reader.readLine() == "Your name?")
        try connection.write("\(name)\n")
        return (connection, reader)
    }

    @Test func guestsTalk() async throws {
        let server = try await Goroutine.run { try ChatServer(host: "127.0.0.1", port: 0) }
        try await beside(server.run) { [self] in
            let (ann, toAnn) = try guest("ann", server)
            #expect(try toAnn.readLine() == "* nobody else is here")
            let (second, toBob) = try guest("ann", server)
            #expect(try toBob.readLine() == "That one is here already. Your name?")
            try second.write("a b\nbob\n")
            #expect(try toBob.readLine() == "Letters and digits, up to 20. Your name?")
            #expect(try toBob.readLine() == "* here are: ann")
            #expect(try toAnn.readLine() == "* bob has come")
            try ann.write("hello\n\n")
            #expect(try toBob.readLine() == "ann: hello")
            try second.write("hello yourself\n/quit\n")
            #expect(try toAnn.readLine() == "bob: hello yourself")
            #expect(try toAnn.readLine() == "* bob has gone")
            #expect(try toBob.readLine() == nil)
            // One who just goes.
            let (carl, _) = try guest("carl", server)
            #expect(try toAnn.readLine() == "* carl has come")
            carl.close()
            #expect(try toAnn.readLine() == "* carl has gone")
        }
    }

    @Test func whoDoesNotListenIsShownOut() async throws {
        let server = try await Goroutine.run { try ChatServer(host: "127.0.0.1", port: 0) }
        try await beside(server.run) { [self] in
            let (ann, toAnn) = try guest("ann", server)
            #expect(try toAnn.readLine() == "* nobody else is here")
            let (_, toBob) = try guest("bob", server)
            #expect(try toBob.readLine() == "* here are: ann")
            #expect(try toAnn.readLine() == "* bob has come")
            // More than the system keeps for bob, and the room.
            let line = String(repeating: "x", count: 900) + "\n"
            go { for _ in 0..<100_000 { if (try? ann.write(line)) == nil { return } } }
            #expect(try toAnn.readLine() == "* bob was too slow")
            ann.close()
        }
    }

    @Test func theRoomsEndIsTold() async throws {
        try await Goroutine.run { [self] in
            let server = try ChatServer(host: "127.0.0.1", port: 0)
            let (context, stop) = Context.background.withCancel()
            let all = WaitGroup()
            all.go { try! server.run(in: context) }
            let (_, toAnn) = try guest("ann", server)
            #expect(try toAnn.readLine() == "* nobody else is here")
            stop()
            #expect(try toAnn.readLine() == "* the server is going down")
            #expect(try toAnn.readLine() == nil)
            all.wait()
        }
    }

    @Test func theProxyPassesBothDirectionsAndTheirEnds() async throws {
        try await Goroutine.run {
            let listener = try TCPListener(host: "127.0.0.1", port: 0)
            let proxy = try TCPProxy(listening: 0, to: "127.0.0.1", port: listener.address.port!)
            let (context, stop) = Context.background.withCancel()
            let all = WaitGroup()
            all.go { try! proxy.run(in: context) { Issue.record($0) } }
            let client = try TCPConnection.dial(proxy.address), server = try listener.accept()
            let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
            all.go {
                try! client.write(bytes)
                try! client.closeWriting()
            }
            #expect(try server.readToEnd(limit: bytes.count) == bytes)
            try server.write("answer")
            server.close()
            #expect(try client.readToEnd(limit: 100) == Array("answer".utf8))
            stop()
            all.wait()
        }
    }

    @Test func theProxyEndsSilentConnectionsAndKeepsToItsLimit() async throws {
        try await Goroutine.run {
            let listener = try TCPListener(host: "127.0.0.1", port: 0)
            var proxy = try TCPProxy(listening: 0, to: "127.0.0.1", port: listener.address.port!)
            proxy.limits.connections = 1
            proxy.limits.idle = .milliseconds(100)
            let (context, stop) = Context.background.withCancel()
            let all = WaitGroup()
            all.go { [proxy] in try! proxy.run(in: context) { Issue.record($0) } }
            let first = try TCPConnection.dial(proxy.address), server = try listener.accept()
            // Accepted by the system, and by the proxy only once the first has gone.
            let second = try TCPConnection.dial(proxy.address)
            try second.write("second")
            #expect(try first.readToEnd(limit: 1) == [])
            #expect(try server.readToEnd(limit: 1) == [])
            #expect(try listener.accept().read(upTo: 6) == Array("second".utf8))
            stop()
            all.wait()
        }
    }

    @Test func theProxyReportsThatNobodyIsThere() async throws {
        try await Goroutine.run {
            let listener = try TCPListener(host: "127.0.0.1", port: 0)
            listener.close()
            let proxy = try TCPProxy(listening: 0, to: "127.0.0.1", port: listener.address.port!)
            let (context, stop) = Context.background.withCancel()
            let all = WaitGroup(), reported = Channel<String>(capacity: 1)
            all.go { try! proxy.run(in: context) { reported <- "\($0)" } }
            let client = try TCPConnection.dial(proxy.address)
            #expect(try client.readToEnd(limit: 1) == [])
            #expect(try #require(reported.receive()).contains("Connection refused"))
            stop()
            all.wait()
        }
    }

    @Test func openPortsAreFound() async throws {
        try await Goroutine.run {
            // An address of its own: others may listen at ports in between.
            let host = "127.\(UInt8.random(in: 1...254)).\(UInt8.random(in: 1...254)).1"
            let listeners = try (0..<5).map { _ in try TCPListener(host: host, port: 0) }
            let wanted = listeners.map { $0.address.port! }.sorted()
            var scan = PortScan(host: host, ports: wanted[0]...wanted[4])
            scan.workers = 64
            var seen = 0
            let found = try scan.run { seen = $0 }
            #expect(found == wanted)
            #expect(seen == scan.ports.count)
            for listener in listeners { listener.close() }
        }
    }

    @Test func aScanEndsWithItsContext() async throws {
        await Goroutine.run {
            let (context, stop) = Context.background.withCancel()
            #expect(throws: ContextError.canceled) {
                _ = try PortScan(host: "127.255.255.1", ports: 1...65_535).run(in: context) { if $0 == 10 { stop() } }
            }
        }
    }

    @Test func theProgramRuns() throws {
        let (output, status) = try run(["load", "--connections", "4", "--seconds", "1"])
        #expect(status == 0 && output.contains("0 connections failed"))
        #expect(try run(["scan", "--from", "2", "--to", "1"]).status == 64)
    }

    private func run(_ arguments: [String]) throws -> (output: String, status: Int32) {
        let process = Process(), pipe = Pipe()
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent().appending(path: "net")
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (output, process.terminationStatus)
    }
}
