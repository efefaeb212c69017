import CSP

/// Put `go` before a closure, and it runs beside its caller.
enum Say: Snippet {
    static let name = "say"
    static let title = "The go keyword"
    static let summary = "two goroutines talk at the same time"

    static func say(_ text: String) {
        for _ in 0..<3 {
            Time.sleep(for: .milliseconds(100))
            print(text)
        }
    }

    static func run() {
        go { say("world") }  // Starts a new goroutine.
        say("hello")  // Runs right here, on the main thread.
    }
}
