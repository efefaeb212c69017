import CSP

/// The better fix: the caller's context says when to stop waiting, and the caller learns why.
enum LeakFixedByContext: Snippet {
    static let name = "leak-context"
    static let title = "The leak, fixed by cancellation"
    static let summary = "a context ends the wait; the buffer takes the late result"

    static func bestFunction(_ context: Context) throws -> Int {
        let results = Channel<Int>(capacity: 1)
        go { results <- Leak.expensiveComputation() }

        return try select {
            Receive(results) { $0! }
            Canceled(context)
        }  // The goroutine runs to its end even so, and the buffer takes its result.
    }

    static func call(patience: Duration) {
        do {
            print("result:", try Context.background.withTimeout(patience, bestFunction))
        } catch {
            print("gave up:", error)
        }
    }

    static func run() {
        let before = Goroutine.count
        call(patience: .milliseconds(200))
        call(patience: .milliseconds(1))
        Time.sleep(for: .milliseconds(250))  // Let everyone finish who can.
        print("goroutines more than before:", Goroutine.count - before)
    }
}
