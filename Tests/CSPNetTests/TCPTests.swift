import CSP
import CSPNet
import SystemPackage
import Testing

@Suite struct TCPTests {
    @Test func whatIsWrittenIsRead() {
        inGoroutine {
            let (client, server) = try tcpPair()
            try client.write("hello")
            #expect(try server.readAll(5) == Array("hello".utf8))
            try server.write([1, 2, 3])
            var bytes = [UInt8](repeating: 9, count: 8)
            #expect(try client.read(into: &bytes) == 3)
            #expect(bytes == [1, 2, 3, 9, 9, 9, 9, 9])
        }
    }

    @Test func addressesAreKnownOnBothSides() {
        inGoroutine {
            let (client, server) = try tcpPair()
            #expect(client.localAddress == server.remoteAddress)
            #expect(client.remoteAddress == server.localAddress)
            #expect(client.remoteAddress?.ip == .loopback)
            client.close()
            #expect(client.localAddress == nil)
        }
    }

    @Test func aReaderParksAndGoesOn() {
        inGoroutine {
            let (client, server) = try tcpPair()
            let got = Channel<[UInt8]?>()
            go("reader") { got <- try? server.read(upTo: 16) }
            #expect(eventually { isParked("reader") })
            try client.write("x")
            #expect((<-got) == [120])
        }
    }

    @Test func theEndComesAfterAllThatWasWritten() {
        inGoroutine {
            for isTogether in [true, false] {
                let (client, server) = try tcpPair()
                let all = Channel<[UInt8]>()
                if !isTogether {
                    go("reader") { all <- (try? server.readToEnd(limit: 100)) ?? [] }
                    #expect(eventually { isParked("reader") })
                }
                try client.write("last words")
                client.close()
                // The bytes and the end are there before anybody reads: a read that takes all the bytes must not wait for news then.
                if isTogether { go { all <- (try? server.readToEnd(limit: 100)) ?? [] } }
                #expect((<-all) == Array("last words".utf8))
                #expect(try server.read(upTo: 1) == nil)
            }
        }
    }

    @Test func theEndIsSeenAfterAReadThatWasShort() {
        inGoroutine {
            for _ in 0..<200 {
                let (client, server) = try tcpPair()
                // The poller has been told of the connection before.
                go { try? client.write("a") }
                #expect(try server.readAll(1) == [97])
                try client.write("bc")
                try client.closeWriting()
                #expect(try server.readAll(2) == [98, 99])
                #expect(try server.read(upTo: 16) == nil)
            }
        }
    }

    @Test func halfOfAConnectionMayEnd() {
        inGoroutine {
            let (client, server) = try tcpPair()
            try client.write("question")
            try client.closeWriting()
            #expect(try server.readToEnd(limit: 100) == Array("question".utf8))
            try server.write("answer")
            #expect(try client.readAll(6) == Array("answer".utf8))
            #expect(failure { () throws(NetError) in try client.write("more") }?.errno == .brokenPipe)
            try server.closeReading()
            #expect(try server.read(upTo: 1) == nil)
        }
    }

    @Test func aSlowReaderHoldsUpTheWriter() {
        inGoroutine {
            let (client, server) = try tcpPair()
            let bytes = pattern(8 << 20)
            let done = Channel<NetError?>()
            go("writer") { done <- failure { () throws(NetError) in try client.write(bytes) } }
            #expect(eventually { isParked("writer") })
            #expect(done.count == 0)
            #expect(try server.readAll(bytes.count) == bytes)
            #expect((<-done) == .some(nil))
        }
    }

    @Test func severalPiecesAreOneStream() {
        inGoroutine {
            let (client, server) = try tcpPair()
            // Empty ones, more than one call takes, and more than there is room for.
            let pieces: [[UInt8]] =
                [[], [1], [], pattern(3 << 20), []] + (0..<300).map { pattern($0, seed: UInt64($0)) }
            let done = Channel<NetError?>()
            go("writer") { done <- failure { () throws(NetError) in try client.write(pieces) } }
            let expected = pieces.flatMap { $0 }
            #expect(try server.readAll(expected.count) == expected)
            #expect((<-done) == .some(nil))
            try client.write([[UInt8]]())
            try client.write([UInt8]())
        }
    }

    @Test func whatSeveralWriteIsNotMixed() {
        inGoroutine {
            let (client, server) = try tcpPair()
            let all = WaitGroup()
            // Each is more than there is room for at once.
            let size = 3 << 20
            for letter in UInt8(0)..<4 { all.go { try! client.write([UInt8](repeating: letter, count: size)) } }
            var order: [UInt8] = []
            for _ in 0..<4 {
                let block = try server.readAll(size)
                order.append(block[0])
                #expect(block.allSatisfy { $0 == block[0] })
            }
            #expect(Set(order).count == 4)
            all.wait()
        }
    }

    @Test func closingEndsWhatWaits() {
        inGoroutine {
            let (client, server) = try tcpPair()
            let failures = Channel<NetError?>()
            go("reader") { failures <- failure { () throws(NetError) in _ = try client.read(upTo: 1) } }
            go("writer") { failures <- failure { () throws(NetError) in try client.write(pattern(32 << 20)) } }
            #expect(eventually { isParked("reader") && isParked("writer") })
            client.close()
            for _ in 0..<2 {
                let error = <-failures
                #expect(error??.isClosed == true)
                #expect(error??.isTimeout == false)
            }
            #expect(failure { () throws(NetError) in try client.closeWriting() }?.isClosed == true)
            #expect(failure { () throws(NetError) in try client.setNoDelay(false) }?.isClosed == true)
            withExtendedLifetime(server) {}
        }
    }

    @Test func aResetIsAnErrorAndNoSignal() {
        inGoroutine {
            let (client, server) = try tcpPair()
            let result = Channel<NetError?>()
            go("reader") { result <- failure { () throws(NetError) in _ = try client.read(upTo: 1) } }
            #expect(eventually { isParked("reader") })
            try server.setLinger(.zero)
            server.close()
            let error = (<-result)!
            #expect(error?.errno == .connectionReset)
            #expect(error?.isDisconnect == true)
            #expect("\(error!)".hasPrefix("read tcp 127.0.0.1:"))
            #expect("\(error!)".hasSuffix("onnection reset by peer"))
            #expect(failure { () throws(NetError) in try client.write("x") }?.isDisconnect == true)
        }
    }

    @Test func deadlinesEndReadsAndWrites() {
        inGoroutine {
            let (client, server) = try tcpPair()
            client.setReadDeadline(Time.now.advanced(by: .milliseconds(10)))
            let error = failure { () throws(NetError) in _ = try client.read(upTo: 1) }
            #expect(error?.isTimeout == true)
            #expect(error?.isClosed == false)
            client.setDeadline(Time.now)
            #expect(failure { () throws(NetError) in try client.write("x") }?.isTimeout == true)
            client.setDeadline(nil)
            client.setWriteDeadline(Time.now.advanced(by: .milliseconds(10)))
            #expect(failure { () throws(NetError) in try client.write(pattern(32 << 20)) }?.isTimeout == true)
            withExtendedLifetime(server) {}
        }
    }

    @Test func contextsEndReadsWritesAndAccepts() {
        inGoroutine {
            let (client, server) = try tcpPair()
            let listener = try TCPListener(.ip(.loopback, port: 0))
            let (context, cancel) = Context.background.withCancel()
            let failures = Channel<NetError?>()
            go("reader") { failures <- failure { () throws(NetError) in _ = try client.read(upTo: 1, in: context) } }
            go("writer") {
                failures <- failure { () throws(NetError) in try client.write(pattern(32 << 20), in: context) }
            }
            go("accepter") { failures <- failure { () throws(NetError) in _ = try listener.accept(in: context) } }
            #expect(eventually { isParked("reader") && isParked("writer") && isParked("accepter") })
            cancel()
            for _ in 0..<3 { #expect((<-failures)??.isCanceled == true) }
            let timed = failure { () throws(NetError) in
                try Context.background.withTimeout(.milliseconds(5)) { context throws(NetError) in
                    _ = try client.read(upTo: 1, in: context)
                }
            }
            #expect(timed?.isTimeout == true)
            try server.write("y")
            #expect(try client.readAll(1) == [121])
        }
    }

    @Test func threadsUseTheSame() {
        onThread {
            let (client, server) = try tcpPair()
            go("echo") { while let bytes = try! server.read(upTo: 100) { try! server.write(bytes) } }
            for n in 0..<20 {
                try client.write("ping \(n)")
                #expect(try client.readAll("ping \(n)".utf8.count) == Array("ping \(n)".utf8))
            }
        }
    }

    @Test func tasksUseTheSame() async throws {
        let listener = try TCPListener(.ip(.loopback, port: 0))
        async let accepted = listener.accept()
        let client = try await TCPConnection.dial(listener.address)
        let server = try await accepted
        let echo = Task {
            var buffer = [UInt8](repeating: 0, count: 64)
            var count = try await server.read(into: &buffer)
            while count > 0 {
                try await server.write(Array(buffer[..<count]))
                count = try await server.read(into: &buffer)
            }
        }
        for n in 0..<50 {
            try await client.write([[UInt8(n)], [1]])
            var got: [UInt8] = []
            while got.count < 2, let some = try await client.read(upTo: 2) { got += some }
            #expect(got == [UInt8(n), 1])
        }
        client.close()
        try await echo.value
        let waits = Task { try await listener.accept() }
        try await Task.sleep(for: .milliseconds(2))
        waits.cancel()
        let outcome = await waits.result
        #expect(throws: NetError.self) { _ = try outcome.get() }
        do { _ = try outcome.get() } catch { #expect((error as? NetError)?.isCanceled == true) }
    }

    @Test func bytesFitWhatTheyAreAskedFor() {
        inGoroutine {
            let (client, server) = try tcpPair()
            try client.write(pattern(1000))
            var got: [UInt8] = []
            while got.count < 1000 {
                let some = try server.read(upTo: 7)!
                #expect(some.count <= 7)
                got += some
            }
            #expect(got == pattern(1000))
            var nothing: [UInt8] = []
            #expect(try server.read(into: &nothing) == 0)
            go { try? client.write(pattern(1000)) }
            #expect(
                failure { () throws(NetError) in _ = try server.readToEnd(limit: 999) }?.cause == .tooLong(limit: 999))
        }
    }

    @Test func optionsAreSetAndInherited() {
        inGoroutine {
            var options = ListenOptions()
            options.connections.keepAlive = nil
            let (client, server) = try tcpPair(options)
            try client.setKeepAlive(.seconds(60))
            try client.setNoDelay(false)
            try client.setLinger(.seconds(1))
            try client.setLinger(nil)
            let file = try server.withDescriptor { $0 }
            #expect(file.rawValue > 2)
            #expect(try option(client, 6, 1) == 0)
            #expect(try option(server, 6, 1) != 0)
        }
    }
}
