import CSP

/// A goroutine that waits for something that never comes is never freed. `Goroutine.count`, watched over time, tells.
enum Leak: Snippet {
    static let name = "leak"
    static let title = "A leak: goroutines blocked for ever"
    static let summary = "the caller gives up, and the sender waits for it in vain"

    static func expensiveComputation() -> Int {
        Time.sleep(for: .milliseconds(20))
        return 42
    }

    static func leakyFunction() {
        let results = Channel<Int>()
        go("leaky") {
            let result = expensiveComputation()
            results <- result  // Blocks for ever if the caller gives up.
        }
        // Returning early (a timeout, an error): nobody will ever receive from `results`.
    }

    static func run() {
        let before = Goroutine.count
        for _ in 0..<3 { leakyFunction() }
        Time.sleep(for: .milliseconds(60))  // Long enough for all three to have finished, if they could.
        print("goroutines more than before:", Goroutine.count - before)
    }
}
