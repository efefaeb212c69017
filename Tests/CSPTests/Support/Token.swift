import CSP

/// What became of each token: how often it was released, which must be once.
final class Ledger: Sendable {
    private let releases: [SharedAtomic<Int>]

    init(_ count: Int) {
        releases = (0..<count).map { _ in SharedAtomic(0) }
    }

    func token(_ id: Int) -> sending Token { Token(id: id, ledger: self) }

    fileprivate func recordRelease(of id: Int) { releases[id].add(1) }

    /// How often each token was released, by its id.
    var counts: [Int] { releases.map { $0.load() } }
    /// How many releases there were in all.
    var total: Int { counts.reduce(0, +) }
    var allReleasedOnce: Bool { counts.allSatisfy { $0 == 1 } }
}

/// A value that can be neither copied nor lost unseen.
struct Token: ~Copyable, Sendable {
    let id: Int
    let ledger: Ledger

    deinit { ledger.recordRelease(of: id) }
}

/// The same as an object, for elements that are counted by reference.
final class TokenObject {
    let id: Int
    private let ledger: Ledger

    init(_ id: Int, _ ledger: Ledger) {
        self.id = id
        self.ledger = ledger
    }

    deinit { ledger.recordRelease(of: id) }
}

extension Channel where Element == Token {
    /// Whether token `id` could be sent without waiting; `#expect` cannot take a noncopyable argument itself.
    func trySend(_ id: Int, of ledger: Ledger) -> Bool { trySend(ledger.token(id)) }
}
