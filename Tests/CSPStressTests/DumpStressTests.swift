import CSP
import Dispatch
import Foundation
import Testing

extension StressTests {
    /// Dumps from goroutines and threads, while goroutines start, park, compute, block and end.
    @Test func dumpsWhileGoroutinesComeAndGo() {
        let looks = rounds(6, stressed: 20)
        stress(rounds: 1, stressedRounds: 10) { random in
            let stop = SharedAtomic(0), workers = WaitGroup()
            for seed in 0..<6 {
                var own = SeededGenerator(seed: random.next() &+ UInt64(seed))
                workers.go("churn \(seed)") {
                    while stop.load() == 0 { churn(&own) }
                }
            }
            let dumpers = DispatchGroup()
            for _ in 0..<2 {
                dumpers.enter()
                Thread.detachNewThread {
                    for _ in 0..<looks { lookAround() }
                    dumpers.leave()
                }
            }
            let inside = WaitGroup()
            inside.go {
                for _ in 0..<looks {
                    lookAround()
                    Goroutine.yield()
                }
            }
            let text = Goroutine.dump()
            #expect(text.contains("\"stress\" [running]:") || text.contains(" goroutines ["))
            inside.wait()
            dumpers.wait()
            stop.store(1)
            workers.wait()
        }
    }
}

private func lookAround() {
    let counts = Dump.look()
    #expect(counts.goroutines > 0)
    #expect(counts.traces <= counts.goroutines)
}

/// One of the things that goroutines do.
func churn(_ random: inout SeededGenerator) {
    switch random.next() % 6 {
    case 0:
        let group = WaitGroup()
        for n in 0..<20 {
            group.go(n % 2 == 0 ? "a goroutine with a name that is not short" : nil) { Goroutine.yield() }
        }
        group.wait()
    case 1:
        let channel = Channel<Int>()
        go { for n in 0..<50 { channel.send(n) } }
        for _ in 0..<50 { _ = channel.receive() }
    case 2:
        Time.sleep(for: .microseconds(Int64(random.next() % 300)))
    case 3:
        Goroutine.run(stackSize: 1 << 20) { _ = recurse(1000) }
    case 4:
        usleep(50)
    default:
        var sum = 0
        for n in 0..<Int(random.next() % 20_000) { sum &+= n ^ sum }
        if sum == 42 { print(sum) }
    }
}

@inline(never)
private func recurse(_ depth: Int) -> Int {
    if depth == 0 {
        Goroutine.yield()
        return 0
    }
    return recurse(depth - 1) + 1
}
