import CSP
import CSPNet
import SystemPackage
import Testing

@Suite struct DialTests {
    /// A listener whose backlog is full: who connects gets no answer.
    private final class Silent {
        let listener: TCPListener
        private var fillers: [TCPConnection] = []

        init() throws {
            var options = ListenOptions()
            options.backlog = 1
            listener = try TCPListener(.ip(.loopback, port: 0), options)
            for _ in 0..<8 {
                let filler = try? Context.background.withTimeout(.milliseconds(30)) { context in
                    try TCPConnection.dial(listener.address, in: context)
                }
                if let filler { fillers.append(filler) }
            }
        }
    }

    private func freePort() throws -> SocketAddress {
        let listener = try TCPListener(.ip(.loopback, port: 0))
        defer { listener.close() }
        return listener.address
    }

    @Test func nobodyThereIsAnError() {
        inGoroutine {
            let address = try freePort()
            let error = failure { () throws(NetError) in _ = try TCPConnection.dial(address) }
            #expect(error?.errno == .connectionRefused)
            #expect("\(error!)" == "dial tcp \(address): Connection refused")
        }
    }

    @Test func aContextEndsAnAttempt() {
        inGoroutine {
            let silent = try Silent()
            let (context, cancel) = Context.background.withCancel()
            let result = Channel<NetError?>()
            go("dialer") {
                result
                    <- failure { () throws(NetError) in _ = try TCPConnection.dial(silent.listener.address, in: context)
                    }
            }
            #expect(eventually { isParked("dialer") })
            cancel()
            #expect((<-result)??.isCanceled == true)
        }
    }

    @Test func aNameIsLookedUp() {
        inGoroutine {
            let addresses = try Resolver.addresses(of: "localhost")
            #expect(addresses.contains(.loopback) || addresses.contains(.loopbackV6))
            let listener = try TCPListener(host: "localhost", port: 0)
            let client = try TCPConnection.dial(host: "localhost", port: listener.address.port!)
            #expect(try listener.accept().remoteAddress == client.localAddress)
            #expect(try Resolver.addresses(of: "::1") == [.loopbackV6])
            let error = failure { () throws(NetError) in _ = try Resolver.addresses(of: "no.such.name.invalid") }
            #expect(error?.operation == .resolve)
            if case .name = error?.cause {} else { Issue.record("\(String(describing: error))") }
            let (context, cancel) = Context.background.withCancel()
            cancel()
            #expect(
                failure { () throws(NetError) in _ = try Resolver.addresses(of: "localhost", in: context) }?.isCanceled
                    == true)
        }
    }

    @Test func theFirstThatAnswersWins() {
        inGoroutine {
            let silent = try Silent(), nobody = try freePort(), listener = try TCPListener(.ip(.loopback, port: 0))
            // One that refuses is passed at once, one that is silent after a quarter of a second.
            let client = try TCPConnection.race(
                [nobody, silent.listener.address, listener.address], "test", TCPOptions(), .background)
            #expect(client.remoteAddress == listener.address)
            #expect(try listener.accept().remoteAddress == client.localAddress)
        }
    }

    @Test func ifAllFailTheFirstErrorIsTold() {
        inGoroutine {
            let first = try freePort(), second = try freePort()
            let error = failure { () throws(NetError) in
                _ = try TCPConnection.race([first, second], "test", TCPOptions(), .background)
            }
            #expect(error?.errno == .connectionRefused)
            #expect(error?.address == first)
        }
    }

    @Test func aContextEndsTheRace() {
        inGoroutine {
            let silent = try Silent()
            let error = failure { () throws(NetError) in
                try Context.background.withTimeout(.milliseconds(20)) { context throws(NetError) in
                    let address = silent.listener.address
                    _ = try TCPConnection.race([address, address], "test", TCPOptions(), context)
                }
            }
            #expect(error?.isTimeout == true)
            // Nobody goes on dialing.
            #expect(eventually { !isParked("dial \(silent.listener.address)") })
        }
    }

    @Test func cancellingATaskEndsAnAttempt() async throws {
        let silent = try await Goroutine.run { () throws -> sending Silent in try Silent() }
        let address = silent.listener.address
        let task = Task { try await TCPConnection.dial(address) }
        try await Task.sleep(for: .milliseconds(5))
        task.cancel()
        do {
            _ = try await task.value
            Issue.record("connected")
        } catch { #expect((error as? NetError)?.isCanceled == true) }
        withExtendedLifetime(silent) {}
    }
}
