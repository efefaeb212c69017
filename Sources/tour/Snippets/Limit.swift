import CSP

/// Goroutines are cheap; what they use (connections, files, somebody's server) is not. A buffered channel makes a fine
/// turnstile: it lets in as many as it has places.
enum Limit: Snippet {
    static let name = "limit"
    static let title = "Ten thousand requests, fifty at a time"
    static let summary = "a buffered channel bounds how many goroutines are busy at once"

    static func run() {
        let places = Channel<Void>(capacity: 50)
        let busy = SharedAtomic(0), mostBusy = SharedAtomic(0), served = SharedAtomic(0)
        let requests = WaitGroup()

        for _ in 0..<10_000 {
            requests.go {
                places <- ()  // Waits for a free place.
                defer { <-places }  // Gives it back.
                let now = busy.add(1)
                raise(mostBusy, to: now)
                Goroutine.yield()  // Here the request would be made.
                busy.add(-1)
                served.add(1)
            }
        }
        requests.wait()
        print("served \(served.load()); never more than 50 at once: \(mostBusy.load() <= 50)")
    }

    /// Sets `maximum` to `value` unless it is already as much, whoever else may be doing the same.
    static func raise(_ maximum: SharedAtomic<Int>, to value: Int) {
        var current = maximum.load()
        while current < value, !maximum.compareExchange(expected: current, desired: value) {
            current = maximum.load()
        }
    }
}
