import CSP

/// Go's SafeCounter guards a map with a mutex. Here one goroutine owns the dictionary, and everyone else talks to it over
/// channels: nothing is shared, so nothing needs guarding.
enum Counter: Snippet {
    static let name = "counter"
    static let title = "A safe counter: one goroutine owns the dictionary"
    static let summary = "a thousand goroutines count words in a dictionary that only one of them touches"

    struct SafeCounter: Sendable {
        private let increments = Channel<String>()
        private let questions = Channel<(key: String, answer: Channel<Int>)>()

        init() {
            go("counter") { [increments, questions] in
                var counts: [String: Int] = [:]
                var isOpen = true
                while isOpen {
                    select {
                        Receive(increments) { key in
                            if let key { counts[key, default: 0] += 1 } else { isOpen = false }
                        }
                        Receive(questions) { question in
                            if let question { question.answer <- counts[question.key, default: 0] }
                        }
                    }
                }
            }
        }

        func increment(_ key: String) { increments <- key }

        func value(_ key: String) -> Int {
            let answer = Channel<Int>(capacity: 1)
            questions <- (key, answer)
            return (<-answer)!
        }

        /// Ends the goroutine, which would otherwise wait for ever.
        func close() { increments.close() }
    }

    static func run() {
        let counter = SafeCounter()
        defer { counter.close() }
        let goroutines = WaitGroup()
        for i in 0..<1_000 {
            goroutines.go { counter.increment(i % 4 == 0 ? "rare" : "common") }
        }
        goroutines.wait()
        print("rare: \(counter.value("rare")), common: \(counter.value("common"))")
    }
}
