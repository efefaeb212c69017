import CSP

/// Go's SafeCounter as Go writes it: a map and its mutex. In Swift the mutex holds the dictionary, so nobody can forget to lock.
enum SafeCounterWithMutex: Snippet {
    static let name = "safe-counter"
    static let title = "A safe counter: a mutex around the dictionary"
    static let summary = "a thousand goroutines count words in a dictionary that only the lock's holder sees"

    struct SafeCounter: Sendable {
        private let counts = Mutex<[String: Int]>([:])

        func increment(_ key: String) { counts.withLock { $0[key, default: 0] += 1 } }
        func value(_ key: String) -> Int { counts.withLock { $0[key, default: 0] } }
    }

    static func run() {
        let counter = SafeCounter()
        let goroutines = WaitGroup()
        for i in 0..<1_000 {
            goroutines.go { counter.increment(i % 4 == 0 ? "rare" : "common") }
        }
        goroutines.wait()
        print("rare: \(counter.value("rare")), common: \(counter.value("common"))")
    }
}
