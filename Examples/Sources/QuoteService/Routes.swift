import CSP
import Hummingbird

extension Quote: ResponseEncodable {}

/// The service's routes.
///
///     GET /quotes/AAPL/first     the first answer of any exchange
///     GET /quotes/AAPL           all answers that come in time
///     GET /metrics               the scheduler's numbers, for Prometheus
///     GET /goroutines/           what the goroutines do, live, and what goes with that page
///
/// Handlers are async functions on SwiftNIO's threads. `Goroutine.run` suspends the handler and leaves the thread to other requests, while goroutines
/// wait for the exchanges. When the client goes away the handler's task is cancelled, with it the context inside, and with that all goroutines.
public func quoteRoutes(_ exchanges: [Exchange], within limit: Duration) -> Router<BasicRequestContext> {
    let router = Router()
    router.get("quotes/:symbol/first") { _, context -> Quote in
        let symbol = try context.parameters.require("symbol")
        do {
            return try await Goroutine.run("first quote") {
                try firstQuote(symbol, from: exchanges, within: limit)
            }
        } catch is ContextError {
            throw HTTPError(.gatewayTimeout, message: "no exchange has answered in time")
        } catch is NoQuote {
            throw HTTPError(.badGateway, message: "no exchange knows \(symbol)")
        }
    }
    router.get("quotes/:symbol") { _, context -> [Quote] in
        let symbol = try context.parameters.require("symbol")
        return await Goroutine.run("all quotes") { allQuotes(symbol, from: exchanges, within: limit) }
    }
    addDebugRoutes(to: router)
    return router
}
