import CSP

/// Work that only computes spreads over all processors by itself: those with nothing to do steal from those with much.
enum Processors: Snippet {
    static let name = "processors"
    static let title = "Work stealing"
    static let summary = "the same computation on one processor, and on all"

    static func countPrimes(in range: Range<Int>) -> Int {
        range.count { n in
            var divisor = 2
            while divisor * divisor <= n {
                if n % divisor == 0 { return false }
                divisor += 1
            }
            return n >= 2
        }
    }

    static func countPrimes(below limit: Int, pieces: Int) -> Int {
        let counts = Channel<Int>(capacity: pieces)
        for piece in 0..<pieces {
            go { counts <- countPrimes(in: limit * piece / pieces..<limit * (piece + 1) / pieces) }
        }
        return (0..<pieces).reduce(0) { total, _ in total + (<-counts)! }
    }

    static func run() {
        let all = Scheduler.maxProcs
        defer { Scheduler.maxProcs = all }
        for processors in all == 1 ? [1] : [1, all] {
            Scheduler.maxProcs = processors
            var primes = 0
            let elapsed = ContinuousClock().measure { primes = countPrimes(below: 200_000, pieces: 64) }
            print("on \(processors): \(primes) primes in \(elapsed.short)")
        }
    }
}
