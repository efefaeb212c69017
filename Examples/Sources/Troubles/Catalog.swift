import CSP

/// Prices, which take long to find out and are kept.
public final class Catalog: Sendable {
    private let prices = Mutex<[Int: Int]>([:])

    /// Nothing is known yet.
    public init() {}

    /// Everybody who wants any price waits while one is found out.
    @inline(never)
    public func price(of article: Int) -> Int {
        prices.withLock { known in
            if let price = known[article] { return price }
            let price = askWarehouse(article)
            known[article] = price
            return price
        }
    }

    /// The mended one asks without the lock.
    @inline(never)
    public func priceAskedOutside(of article: Int) -> Int {
        if let price = prices.withLock({ $0[article] }) { return price }
        let price = askWarehouse(article)
        prices.withLock { $0[article] = price }
        return price
    }

    @inline(never)
    private func askWarehouse(_ article: Int) -> Int {
        Time.sleep(for: .milliseconds(5))
        return article * 100
    }
}

/// Eight customers who want twenty prices each.
public func shop(_ price: @escaping @Sendable (Int) -> Int) {
    let customers = WaitGroup()
    for customer in 0..<8 {
        customers.go("customer") { for article in 0..<20 { _ = price(article + customer * 100) } }
    }
    customers.wait()
}
