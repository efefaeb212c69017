import CSP
import Foundation
import ManyRequests
import Testing

@Suite(.timeLimit(.minutes(5))) struct ManyRequestsTests {
    @Test func everyRequestIsAnsweredOverFewConnections() async throws {
        let (report, connections) = try await Goroutine.run {
            let server = try LocalServer(delay: 0...2)
            defer { server.stop() }
            let seen = SharedAtomic(0)
            let report = try ManyRequests(url: server.url, count: 2000, limit: 32, timeout: .seconds(60)).run {
                seen.store($0)
            }
            #expect(seen.load() == 2000)
            return (report, server.connectionCount)
        }
        #expect(report.answered == 2000 && report.latencies.totalCount == 2000)
        // They are used again: one now and then may be replaced, but there are nowhere near as many as requests.
        #expect((1...64).contains(connections))
        #expect(report.text.hasPrefix("2000 answered, 0 timed out, 0 failed"))
    }

    @Test func aRequestThatStallsTimesOutAloneAndTheRestGoOn() async throws {
        let report = try await Goroutine.run {
            let server = try LocalServer(delay: 0...1, stalling: 50)
            defer { server.stop() }
            return try ManyRequests(url: server.url, count: 500, limit: 16, timeout: .seconds(5)).run()
        }
        #expect(report.answered == 490 && report.timedOut == 10)
    }

    @Test func nobodyThereIsReported() async throws {
        let report = try await Goroutine.run {
            let server = try LocalServer()
            server.stop()
            return try ManyRequests(url: server.url, count: 10, limit: 2, timeout: .milliseconds(100)).run()
        }
        #expect(report.answered == 0 && report.finished == 10)
    }

    @Test func cancellingEndsIt() async throws {
        let report = try await Goroutine.run {
            let server = try LocalServer(delay: 50...60)
            defer { server.stop() }
            let (context, cancel) = Context.background.withCancel()
            let requests = ManyRequests(url: server.url, count: 100_000, limit: 8)
            return try requests.run(in: context) { if $0 > 0 { cancel() } }
        }
        #expect(report.finished < 100_000 && report.answered > 0)
    }

    /// The command as a user runs it.
    @Test func theCommandRuns() throws {
        let process = Process(), output = Pipe()
        // Beside the program that runs the tests.
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent().appending(path: "fetch-many")
        process.arguments = ["--count", "300", "--limit", "10", "--timeout", "60000"]
        process.standardOutput = output
        try process.run()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(text.contains("300 answered, 0 timed out, 0 failed"))
        #expect(text.contains("latency: p50 ") && text.contains("connections used: "))
    }
}
