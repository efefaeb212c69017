import CSP

/// The fix for state that is more than a number. Go's snippet takes a mutex; the same can be said with a channel that
/// holds the state itself: whoever has taken it out is the only one who has it.
enum RaceFixedByToken: Snippet {
    static let name = "token"
    static let title = "The race, fixed by taking turns"
    static let summary = "a channel of capacity one is a lock that holds what it protects"

    struct Statistics {
        var count = 0
        var sum = 0
    }

    static func run() {
        let shared = Channel<Statistics>(capacity: 1)
        shared <- Statistics()

        let goroutines = WaitGroup()
        for i in 1...1_000 {
            goroutines.go {
                var statistics = (<-shared)!  // Locks: the channel is empty now, and others wait.
                statistics.count += 1
                statistics.sum += i
                shared <- statistics  // Unlocks.
            }
        }
        goroutines.wait()
        let statistics = (<-shared)!
        print("\(statistics.count) numbers, with the sum \(statistics.sum)")
    }
}
