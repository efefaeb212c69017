import CSP

/// Goroutines (G) run on few threads (M), of which `maxProcs` (P) at a time: ten thousand cost no more threads than ten.
enum Threads: Snippet {
    static let name = "threads"
    static let title = "Many goroutines on few threads"
    static let summary = "10,000 goroutines wait at once, on a handful of OS threads"

    static func run() {
        let gate = Channel<Never>()
        let passed = SharedAtomic(0)
        let waiting = WaitGroup(), finished = WaitGroup()

        for _ in 0..<10_000 {
            waiting.add()
            finished.go {
                waiting.done()
                <-gate  // Parks this goroutine until the channel is closed, and frees its thread for others.
                passed.add(1)
            }
        }
        waiting.wait()
        print("goroutines:", Goroutine.count)
        print("OS threads:", countThreads())
        print("processors:", Scheduler.maxProcs)

        gate.close()  // Wakes them all.
        finished.wait()
        print("passed the gate:", passed.load())
    }
}
