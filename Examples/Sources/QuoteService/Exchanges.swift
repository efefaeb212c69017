import CSP

/// Somebody who can be asked for a price and takes his time: stands for a database or a service elsewhere.
public struct Exchange: Sendable {
    let name: String
    /// Blocks the goroutine that calls it. Gives up when the context is done.
    let price: @Sendable (_ symbol: String, Context) throws -> Double

    /// - Parameter price: May block as it likes, and should give up when the context is done.
    public init(_ name: String, _ price: @escaping @Sendable (_ symbol: String, Context) throws -> Double) {
        self.name = name
        self.price = price
    }

    /// One that answers after a while, made up from the symbol.
    public static func simulated(_ name: String, answersIn delay: ClosedRange<Int>) -> Exchange {
        Exchange(name) { symbol, context in
            try Time.sleep(for: .milliseconds(Int.random(in: delay)), in: context)
            let base = symbol.utf8.reduce(7) { ($0 &* 31 &+ Int($1)) % 90_000 }
            return Double(base) / 100 + Double(name.utf8.first ?? 0) / 1000
        }
    }
}

/// A price and who has named it.
public struct Quote: Codable, Sendable, Equatable {
    /// What is priced.
    public let symbol: String
    /// Whose price it is.
    public let exchange: String
    /// For one.
    public let price: Double
}

/// No exchange has answered in time.
public struct NoQuote: Error {}

/// Asks all exchanges at once, each in a goroutine of its own; whoever answers first wins, and the others are told to stop.
func firstQuote(_ symbol: String, from exchanges: [Exchange], within limit: Duration) throws -> Quote {
    try Context.current.withTimeout(limit) { context in
        // Room for all: nobody waits for ever to be heard.
        let answers = Channel<Result<Quote, any Error>>(capacity: exchanges.count)
        for exchange in exchanges {
            go(exchange.name) {
                answers
                    <- Result {
                        Quote(symbol: symbol, exchange: exchange.name, price: try exchange.price(symbol, context))
                    }
            }
        }
        for _ in exchanges {
            let answer = try select {
                Receive(answers) { $0! }
                Canceled(context)
            }
            if case .success(let quote) = answer { return quote }
        }
        throw NoQuote()
    }
}

/// All quotes that come in time, the lowest price first.
func allQuotes(_ symbol: String, from exchanges: [Exchange], within limit: Duration) -> [Quote] {
    Context.current.withTimeout(limit) { context in
        let quotes = Channel<Quote>(capacity: exchanges.count)
        let asked = WaitGroup()
        for exchange in exchanges {
            asked.go(exchange.name) {
                guard let price = try? exchange.price(symbol, context) else { return }
                quotes <- Quote(symbol: symbol, exchange: exchange.name, price: price)
            }
        }
        go {
            asked.wait()
            quotes.close()
        }
        return Array(quotes).sorted { $0.price < $1.price }
    }
}
