import CSP

/// A `WaitGroup` counts goroutines up as they start and down as they end; `wait` returns when none is left.
enum Workers: Snippet {
    static let name = "waitgroup"
    static let title = "WaitGroup: waiting for workers"
    static let summary = "five workers sleep at the same time; the caller waits for all of them"

    static func run() {
        let workers = WaitGroup()
        for i in 0..<5 {
            workers.add()
            go {
                defer { workers.done() }
                print("Worker \(i) starting")
                Time.sleep(for: .milliseconds(200))
                print("Worker \(i) done")
            }
        }
        workers.wait()  // Blocks until the counter is zero.
        print("all done, after the time that one of them takes")
    }
}
