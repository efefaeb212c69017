import CSP
import Foundation
import Hummingbird
import HummingbirdTesting
import QuoteService
import Testing

/// The routes as a client sees them.
@Suite(.timeLimit(.minutes(2))) struct QuoteServiceTests {
    struct Unknown: Error {}

    private func get<T: Decodable & Sendable>(
        _ path: String, from exchanges: [Exchange], within limit: Duration = .seconds(60), as: T.Type
    ) async throws -> (status: HTTPResponse.Status, body: T?) {
        let application = Application(router: quoteRoutes(exchanges, within: limit))
        return try await application.test(.live) { client in
            try await client.execute(uri: path, method: .get) { response in
                (response.status, response.status == .ok ? try JSONDecoder().decode(T.self, from: response.body) : nil)
            }
        }
    }

    private let never = Exchange("never") { _, context in
        context.done.receive()
        throw context.error!
    }

    @Test func theFirstAnswerWinsAndTheOthersAreTold() async throws {
        let told = Channel<Never>()
        let slow = Exchange("slow") { _, context in
            context.done.receive()
            told.close()
            throw context.error!
        }
        let answer = try await get(
            "/quotes/ABC/first", from: [slow, .simulated("quick", answersIn: 1...2)], as: Quote.self)
        #expect(answer.body?.exchange == "quick" && answer.body?.symbol == "ABC")
        try await told.receive()
    }

    @Test func anExchangeThatFailsIsPassedOver() async throws {
        let failing = Exchange("failing") { _, _ in throw Unknown() }
        let answer = try await get(
            "/quotes/ABC/first", from: [failing, .simulated("London", answersIn: 5...10)], as: Quote.self)
        #expect(answer.body?.exchange == "London")
        let none = try await get("/quotes/ABC/first", from: [failing, failing], as: Quote.self)
        #expect(none.status == .badGateway)
    }

    @Test func whoDoesNotAnswerInTimeIsLeftOut() async throws {
        let first = try await get("/quotes/ABC/first", from: [never], within: .milliseconds(20), as: Quote.self)
        #expect(first.status == .gatewayTimeout)
        let all = try await get(
            "/quotes/ABC",
            from: [never, .simulated("London", answersIn: 1...2), .simulated("Frankfurt", answersIn: 1...2)],
            within: .seconds(1), as: [Quote].self)
        #expect(all.body?.map(\.exchange) == ["Frankfurt", "London"])
    }

    /// What CSPDebug shows, through this server.
    @Test func metricsAndThePageAreServed() async throws {
        let waiting = WaitGroup(), quit = Channel<Never>()
        for _ in 0..<20 { waiting.go("someone who waits") { quit.receive() } }
        let application = Application(router: quoteRoutes([never], within: .seconds(60)))
        try await application.test(.live) { client in
            func get(_ path: String) async throws -> TestResponse { try await client.execute(uri: path, method: .get) }
            let metrics = try await get("/metrics")
            #expect(metrics.status == .ok)
            #expect(metrics.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            let lines = String(buffer: metrics.body).split(separator: "\n")
            let counts = lines.filter { $0.hasPrefix("csp_goroutines{") }
                .compactMap { Int($0.split(separator: " ").last!) }
            #expect(counts.reduce(0, +) >= 20, "\(lines)")
            let moved = try await get("/goroutines")
            #expect(moved.status.kind == .redirection && moved.headers[.location] == "/goroutines/")
            let page = try await get("/goroutines/")
            #expect(page.status == .ok && String(buffer: page.body).hasPrefix("<!doctype html>"))
            let found = try await get("/goroutines/debug/goroutine?name=someone+who")
            #expect(found.status == .ok && String(buffer: found.body).contains("\"someone who waits\""))
            #expect(try await get("/goroutines/nothing").status == .notFound)
        }
        quit.close()
        try await waiting.wait()
    }

    /// A handler's thread is not held while it waits: many more requests than there are threads wait at once.
    @Test func manyRequestsWaitTogether() async throws {
        let count = 200
        let arrived = WaitGroup()
        arrived.add(count)
        let meeting = Exchange("meeting") { _, _ in
            arrived.done()
            arrived.wait()
            return 1
        }
        let application = Application(router: quoteRoutes([meeting], within: .seconds(60)))
        let answers = try await application.test(.router) { client in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for n in 0..<count {
                    group.addTask {
                        try await client.execute(uri: "/quotes/\(n)/first", method: .get) { $0.status == .ok }
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
        }
        #expect(answers == count)
    }
}
