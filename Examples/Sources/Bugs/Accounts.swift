import CSP

/// An account with a lock of its own.
public final class Account: Sendable {
    /// What is in it.
    public let balance: Mutex<Int>
    let number: Int
    /// An account with that number and balance.
    public init(_ number: Int, _ balance: Int) {
        self.number = number
        self.balance = Mutex(balance)
    }
}

/// Moves money. Two transfers, there and back, take the same locks in different orders.
public func transfer(_ amount: Int, from payer: Account, to payee: Account) {
    payer.balance.withLock { from in
        payee.balance.withLock { to in
            from -= amount
            to += amount
        }
    }
}

/// The same, but the lower number's lock is always the first.
public func transferInOrder(_ amount: Int, from payer: Account, to payee: Account) {
    if payer.number > payee.number { return transferInOrder(-amount, from: payee, to: payer) }
    transfer(amount, from: payer, to: payee)
}
