import CSP

/// The first fix: with a buffer of one, the goroutine can put its result down and leave, whether or not anyone comes.
enum LeakFixedByBuffer: Snippet {
    static let name = "leak-buffer"
    static let title = "The leak, fixed by a buffer"
    static let summary = "a buffer of one takes the result that nobody wants"

    static func safeFunction() {
        let results = Channel<Int>(capacity: 1)  // One can be sent even if nobody receives.
        go {
            let result = Leak.expensiveComputation()
            results <- result  // Never blocks: the buffer takes it, and both are freed.
        }
    }

    static func run() {
        let before = Goroutine.count
        for _ in 0..<3 { safeFunction() }
        Time.sleep(for: .milliseconds(60))
        print("goroutines more than before:", Goroutine.count - before)
    }
}
