import CSP

/// Without a buffer, a value is handed over like a baton: whoever comes first waits for the other.
enum Unbuffered: Snippet {
    static let name = "unbuffered"
    static let title = "Unbuffered: a rendezvous"
    static let summary = "a sender waits for its receiver"

    static func run() {
        let baton = Channel<String>()
        let clock = ContinuousClock()
        let finished = WaitGroup()

        finished.go {
            let waited = clock.measure { baton <- "the baton" }
            print("the sender had to wait for", waited.short)
        }

        Time.sleep(for: .milliseconds(50))
        print("the receiver comes")
        print("received", (<-baton)!)
        finished.wait()
    }
}
