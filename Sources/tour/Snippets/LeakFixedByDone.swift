import CSP

/// The better fix: the caller can be told to stop waiting, and says so to its own caller by an error. A close of `done`
/// reaches everyone who selects on it.
enum LeakFixedByDone: Snippet {
    static let name = "leak-done"
    static let title = "The leak, fixed by cancellation"
    static let summary = "a done channel ends the wait; the buffer takes the late result"

    struct Canceled: Error {}

    static func bestFunction(_ done: Channel<Never>) throws -> Int {
        let results = Channel<Int>(capacity: 1)
        go { results <- Leak.expensiveComputation() }

        return try select {
            Receive(results) { $0! }
            Receive(done) { _ -> Int in throw Canceled() }
        }  // The goroutine runs to its end even so, and the buffer takes its result.
    }

    static func call(cancelAfter patience: Duration) {
        let done = Channel<Never>()
        go {
            Time.sleep(for: patience)
            done.close()
        }
        do {
            print("result:", try bestFunction(done))
        } catch {
            print("gave up:", error)
        }
    }

    static func run() {
        let before = Goroutine.count
        call(cancelAfter: .milliseconds(200))
        call(cancelAfter: .milliseconds(1))
        Time.sleep(for: .milliseconds(250))  // Let everyone finish who can.
        print("goroutines more than before:", Goroutine.count - before)
    }
}
