import CSP

/// The first to come does the work; the others wait for it, and later ones pay one load.
enum OnlyOnce: Snippet {
    static let name = "once"
    static let title = "Once: set up by the first who needs it"
    static let summary = "of ten goroutines one opens the connection, and all use it"

    static func run() {
        let opening = Once(), opened = SharedAtomic(0)
        let greeting = OnceValue { "hello from the only connection" }
        let users = WaitGroup()
        for _ in 0..<10 {
            users.go {
                opening.run {
                    Time.sleep(for: .milliseconds(5))
                    opened.add(1)
                }
                if opened.load() != 1 { print("used before it was open") }
                _ = greeting.value
            }
        }
        users.wait()
        print("opened \(opened.load()) time; \(greeting.value)")
    }
}
