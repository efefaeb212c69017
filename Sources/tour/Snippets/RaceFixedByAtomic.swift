import CSP

/// The fix for a simple counter: an atomic adds in one step, with no room for anybody in between.
enum RaceFixedByAtomic: Snippet {
    static let name = "atomic"
    static let title = "The race, fixed by an atomic"
    static let summary = "the best way to share a simple counter"

    static func run() {
        let counter = SharedAtomic(0)
        let goroutines = WaitGroup()
        for _ in 0..<1_000 {
            goroutines.go {
                counter.add(1)  // Reads and writes in one step.
            }
        }
        goroutines.wait()
        print("1000 increments, and the counter is \(counter.load())")
    }
}
