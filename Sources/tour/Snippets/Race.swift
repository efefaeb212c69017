import CSP

/// Go's race, `counter++` in a thousand goroutines, does not compile in Swift:
///
///     var counter = 0
///     for _ in 0..<1000 {
///         go { counter += 1 }   // error: sending value of non-Sendable type '() -> ()' risks causing data races
///     }
///
/// What Swift cannot see is a race in the logic: here each access is safe, but between the load and the store others come
/// in between, and their counts are lost.
enum Race: Snippet {
    static let name = "race"
    static let title = "A race: reading, then writing"
    static let summary = "a thousand increments, most of them lost"

    static func run() {
        let counter = SharedAtomic(0)
        let goroutines = WaitGroup()
        for _ in 0..<1_000 {
            goroutines.go {
                let seen = counter.load()
                Goroutine.yield()  // Others run here, and see the same number.
                counter.store(seen + 1)
            }
        }
        goroutines.wait()
        print("1000 increments, and the counter is \(counter.load())")
    }
}
