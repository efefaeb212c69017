import CSP
import CSPNet
import ProgramRunner
import SystemPackage
import Testing

@Suite struct ListenerTests {
    @Test func closingFreesThePortAtOnce() throws {
        let ending = try program("reused-ports", of: "net-programs")
        #expect(ending.status == 0 && !ending.bySignal, "\(ending)")
    }

    @Test func severalMayAccept() {
        inGoroutine {
            let listener = try TCPListener(.ip(.loopback, port: 0))
            let accepted = Channel<TCPConnection>(capacity: 100)
            for _ in 0..<4 { go { for connection in listener { accepted <- connection } } }
            var clients: [TCPConnection] = []
            for _ in 0..<100 { clients.append(try TCPConnection.dial(listener.address)) }
            var seen: Set<SocketAddress> = []
            for _ in 0..<100 { seen.insert((<-accepted)!.remoteAddress!) }
            #expect(seen == Set(clients.map { $0.localAddress! }))
            listener.close()
        }
    }

    @Test func acceptHasADeadline() {
        inGoroutine {
            let listener = try TCPListener(.ip(.loopback, port: 0))
            listener.setDeadline(Time.now.advanced(by: .milliseconds(5)))
            #expect(failure { () throws(NetError) in _ = try listener.accept() }?.isTimeout == true)
            listener.setDeadline(nil)
            let client = try TCPConnection.dial(listener.address)
            #expect(try listener.accept().remoteAddress == client.localAddress)
        }
    }

    @Test func aTakenPortIsRefused() {
        inGoroutine {
            let listener = try TCPListener(.ip(.loopback, port: 0))
            let error = failure { () throws(NetError) in _ = try TCPListener(listener.address) }
            #expect(error?.errno == .addressInUse)
            #expect(error?.operation == .listen)
            #expect(error?.address == listener.address)
            #expect("\(error!)".hasPrefix("listen tcp \(listener.address): "))
            withExtendedLifetime(listener) {}
        }
    }

    @Test func aPortMayBeShared() {
        inGoroutine {
            var options = ListenOptions()
            options.reusePort = true
            let first = try TCPListener(.ip(.loopback, port: 0), options)
            let second = try TCPListener(first.address, options)
            #expect(first.address == second.address)
        }
    }

    @Test func bothFamiliesAreServed() {
        inGoroutine {
            let listener = try TCPListener(host: nil, port: 0)
            let client = try TCPConnection.dial(.ip(.loopback, port: listener.address.port!))
            let server = try listener.accept()
            try client.write("4")
            #expect(try server.readAll(1) == [52])
        }
    }

    @Test func servingEndsWithItsContext() {
        inGoroutine {
            let listener = try TCPListener(.ip(.loopback, port: 0))
            let (context, cancel) = Context.background.withCancel()
            let running = SharedAtomic(0), most = SharedAtomic(0), ended = Channel<NetError?>()
            go("server") {
                ended
                    <- failure { () throws(NetError) in
                        try listener.serve(in: context, limit: 2) { connection in
                            let now = running.add(1)
                            if now > most.load() { most.store(now) }
                            while let bytes = try? connection.read(upTo: 100) { try? connection.write(bytes) }
                            running.add(-1)
                        }
                    }
            }
            let clients = try (0..<4).map { _ in try TCPConnection.dial(listener.address) }
            for client in clients[..<2] {
                try client.write("a")
                #expect(try client.readAll(1) == [97])
            }
            clients[0].close()
            try clients[2].write("b")
            #expect(try clients[2].readAll(1) == [98])
            cancel()
            // Those that run go on until they end.
            try clients[1].write("c")
            #expect(try clients[1].readAll(1) == [99])
            #expect(ended.count == 0)
            clients[1].close()
            clients[2].close()
            #expect((<-ended) == .some(nil))
            #expect(running.load() == 0)
            #expect(most.load() == 2)
            #expect(
                failure { () throws(NetError) in _ = try TCPConnection.dial(listener.address) }?.errno
                    == .connectionRefused)
        }
    }

    @Test func graceIsLimited() {
        inGoroutine {
            let listener = try TCPListener(.ip(.loopback, port: 0))
            let failures = Channel<NetError?>(capacity: 1), ended = Channel<NetError?>()
            go("server") {
                ended
                    <- failure { () throws(NetError) in
                        try listener.serve(grace: .milliseconds(10)) { connection in
                            failures <- failure { () throws(NetError) in while try connection.read(upTo: 10) != nil {} }
                        }
                    }
            }
            let client = try TCPConnection.dial(listener.address)
            try client.write("x")
            listener.close()
            // The connection may have been in the backlog still: then it was reset, and nobody served it.
            let end = (<-ended)
            #expect(end == .some(nil))
            if failures.count > 0 { #expect((<-failures)??.isClosed == true) }
            #expect((try? client.readAll(1)) ?? [] == [])
        }
    }
}
