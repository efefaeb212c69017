import CSP

/// `select` waits for whichever of several things happens first, and does that one alone.
enum Selecting: Snippet {
    static let name = "select"
    static let title = "Select: a message, a timeout, or a default"
    static let summary = "wait for several channels at once, for a while, or not at all"

    /// Does not wait: with a `Default`, one of the cases is always ready.
    static func look(_ first: Channel<String>, _ second: Channel<String>) {
        select {
            Receive(first) { message in print("received", message!) }
            Receive(second) { message in print("received", message!) }
            After(.milliseconds(100)) { print("timeout") }
            Default { print("no activity") }
        }
    }

    /// Waits, but not for ever.
    static func wait(_ first: Channel<String>, _ second: Channel<String>) {
        select {
            Receive(first) { message in print("received", message!) }
            Receive(second) { message in print("received", message!) }
            After(.milliseconds(100)) { print("timeout") }
        }
    }

    static func run() {
        let first = Channel<String>(), second = Channel<String>()
        look(first, second)
        wait(first, second)
        go { second <- "a message on the second" }
        wait(first, second)

        // Of several cases that are ready, one is chosen by lot, so that none can starve the others.
        let heads = Channel<Never>(), tails = Channel<Never>()
        heads.close()
        tails.close()
        var count = 0
        for _ in 0..<1_000 {
            count += select {
                Receive(heads) { _ in 1 }
                Receive(tails) { _ in 0 }
            }
        }
        print("1000 tosses: heads \(count), tails \(1_000 - count)")
    }
}
