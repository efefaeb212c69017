import CSP
import CSPDebug
import CSPNet
import Foundation
import Testing

/// The server as a client sees it.
@Suite(.timeLimit(.minutes(5))) struct ServerTests {
    private func withServer<T>(
        host: String = "127.0.0.1", _ body: (DebugServer) async throws -> T
    ) async throws -> T {
        let server = try DebugServer.start(port: 0, host: host)
        let result: Result<T, any Error>
        do { result = .success(try await body(server)) } catch { result = .failure(error) }
        await server.stop()
        return try result.get()
    }

    @Test func answersAsSoonAsItHasStarted() async throws {
        try await withServer { (server: DebugServer) async throws -> Void in
            #expect(server.port > 0 && server.address == "http://127.0.0.1:\(server.port)/")
            let page = try await send("/", to: server.port)
            #expect(page.status == 200 && page.text.hasPrefix("<!doctype html>"))
            #expect(page.headers["content-type"] == "text/html; charset=utf-8")
            #expect(page.headers["content-security-policy"]?.hasPrefix("default-src 'none'") == true)
            #expect(page.headers["cache-control"] == "no-store")
            #expect(try await send("/metrics", to: server.port).text.contains("\ncsp_processors "))
        }
    }

    /// Nothing of the page comes from elsewhere.
    @Test func thePageNeedsNothingElse() async throws {
        let page = await respond("/").text
        for word in [
            "src=", "@import", "url(h", "url('", "<link rel=\"style", "innerHTML", "insertAdjacentHTML",
            "document.write",
        ] {
            #expect(!page.contains(word), "\(word)")
        }
        let outside = page.matches(of: /https?:\/\/[^\s'"<>]+/).map { String($0.output) }
        #expect(Set(outside) == ["http://www.w3.org/2000/svg"])
    }

    @Test func startsFromAGoroutineAThreadAndATask() async throws {
        let fromGoroutine = try await Goroutine.run { try DebugServer.start(port: 0) }
        let fromThread: DebugServer = try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try DebugServer.start(port: 0) }) }
        }
        let fromTask = try await Task.detached { try DebugServer.start(port: 0) }.value
        for server in [fromGoroutine, fromThread, fromTask] {
            #expect(try await send("/metrics", to: server.port).status == 200)
            await server.stop()
        }
    }

    @Test func aTakenPortIsReportedAtOnce() async throws {
        try await withServer { (server: DebugServer) async throws -> Void in
            let error = #expect(throws: DebugServerError.self) { try DebugServer.start(port: server.port) }
            #expect(error?.reason == .portInUse && error?.address == "127.0.0.1:\(server.port)")
            #expect(
                error?.description
                    == "debug server: cannot listen on 127.0.0.1:\(server.port): the port is in use; choose another, or 0 for any that is free"
            )
            #expect(try await send("/metrics", to: server.port).status == 200)
        }
    }

    @Test func wrongAddressesAreReported() {
        for (port, host) in [(-1, "127.0.0.1"), (65_536, "127.0.0.1"), (0, "no address"), (0, "example.org"), (0, "")] {
            let error = #expect(throws: DebugServerError.self) { try DebugServer.start(port: port, host: host) }
            #expect(error?.reason == .badAddress)
        }
        // Kept for documentation; nobody has it.
        let error = #expect(throws: DebugServerError.self) { try DebugServer.start(port: 0, host: "192.0.2.1") }
        #expect(error?.reason == .addressNotAvailable)
    }

    @Test func stopFreesThePort() async throws {
        var port = 0
        for _ in 0..<10 {
            let server = try DebugServer.start(port: port)
            port = server.port
            #expect(try await send("/metrics", to: port).status == 200)
            await server.stop()
            await server.stop()
            await #expect(throws: NetError.self) { try await send("/metrics", to: port) }
        }
    }

    @Test func waitingIsMeasuredWhileThereIsAServer() async throws {
        try await withServer { _ in #expect(Scheduler.measuresWaiting) }
    }

    @Test func knowsItsMethods() async throws {
        try await withServer { (server: DebugServer) async throws -> Void in
            let body = try await send("/", to: server.port)
            let head = try await send("/", to: server.port, method: "HEAD")
            #expect(head.status == 200 && head.body.isEmpty)
            #expect(head.headers["content-length"] == "\(body.body.count)")
            let post = try await send(
                "/metrics", to: server.port, method: "POST", headers: ["Content-Length: 0"])
            #expect(post.status == 405 && post.headers["allow"] == "GET, HEAD")
            let missing = try await send("/nothing", to: server.port)
            #expect(missing.status == 404 && missing.text.contains("/metrics"))
            #expect(try await send("/debug/state?groups=many", to: server.port).status == 400)
        }
    }

    /// A page somewhere on the web makes the browser on this machine ask.
    @Test func pagesOfOtherSitesGetNothing() async throws {
        try await withServer { (server: DebugServer) async throws -> Void in
            for host in ["attacker.example", "attacker.example:\(server.port)", "127.0.0.1.attacker.example", "0x7f.1"]
            {
                #expect(try await send("/metrics", to: server.port, host: host).status == 403, "\(host)")
            }
            for host in ["localhost", "localhost:\(server.port)", "127.0.0.1:\(server.port)", "[::1]:\(server.port)"] {
                #expect(try await send("/metrics", to: server.port, host: host).status == 200, "\(host)")
            }
            func status(_ site: String, _ mode: String) async throws -> Int {
                try await send(
                    "/debug/state", to: server.port, headers: ["Sec-Fetch-Site: \(site)", "Sec-Fetch-Mode: \(mode)"]
                ).status
            }
            #expect(try await status("cross-site", "no-cors") == 403)
            #expect(try await status("same-site", "cors") == 403)
            #expect(try await status("same-origin", "cors") == 200)
            #expect(try await status("cross-site", "navigate") == 200)
        }
        // Whoever asked for all interfaces is asked by any name.
        try await withServer(host: "0.0.0.0") { (server: DebugServer) async throws -> Void in
            #expect(try await send("/metrics", to: server.port, host: "server.example").status == 200)
        }
    }

    @Test func manyAskAtOnceAndSomeGoAway() async throws {
        try await withServer { (server: DebugServer) async throws -> Void in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for n in 0..<60 {
                    group.addTask {
                        if n % 3 == 0 {
                            // Gone before the answer is there.
                            let connection = try await TCPConnection.dial(.ip(.loopback, port: UInt16(server.port)))
                            try await connection.write("GET /debug/state HTTP/1.1\r\nHost: localhost\r\n\r\n")
                            connection.close()
                        } else {
                            let path = n % 3 == 1 ? "/metrics" : "/debug/state?groups=5"
                            #expect(try await send(path, to: server.port).status == 200)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await send("/metrics", to: server.port).status == 200)
        }
    }

    @Test func answersWhenAllProcessorsCompute() async throws {
        let program = try RunningProgram("stuck", environment: ["CSP_MAXPROCS": "1"])
        let state = try await eventually {
            try await send("/debug/state", to: program.port).decoded(DebugState.self)
        } _: {
            $0.goroutines.running == 1
        }
        #expect(state.goroutines.count == 1 && state.processors.count == 1)
        let profile = try await send("/debug/pprof/profile?seconds=1", to: program.port)
        #expect(profile.status == 200 && profile.body.count > 100)
        let dump = try await send("/debug/pprof/goroutine?debug=2", to: program.port)
        #expect(dump.text.contains("[running]:") && dump.text.contains("startStuck"))
        #expect(try await send("/metrics", to: program.port).status == 200)
        #expect(program.end() == 0)
    }

    @Test func answersWhenAllGoroutinesWaitForEachOther() async throws {
        // The server's threads are foreign ones, so that it is no deadlock that would end the program.
        let program = try RunningProgram("deadlocked")
        let dump = try await eventually {
            try await send("/debug/pprof/goroutine?debug=2", to: program.port).text
        } _: {
            $0.contains("\"first\" [chan receive") && $0.contains("\"second\" [chan receive")
        }
        #expect(dump.contains("startDeadlocked"))
        let leaks = try await send("/debug/pprof/goroutineleak?debug=1", to: program.port)
        #expect(leaks.status == 200)
        #expect(program.end() == 0)
    }
}
