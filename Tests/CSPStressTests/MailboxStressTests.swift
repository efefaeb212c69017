import CSP
import Foundation
import Testing

extension StressTests {
    /// Threads outside wake goroutines just as workers begin to linger, linger, cease to, and sleep.
    @Test func threadsWakeGoroutines() {
        stress(rounds: 2, stressedRounds: 60) { random in
            let wrong = SharedAtomic(0), finished = WaitGroup()
            for _ in 0..<3 {
                let there = Channel<Int>(), back = Channel<Int>()
                go { for value in there { back <- value + 1 } }
                let seed = random.next()
                finished.add()
                Thread.detachNewThread {
                    var own = SeededGenerator(seed: seed)
                    for n in 0..<300 {
                        switch own.next() % 16 {
                        case 0: usleep(UInt32(own.next() % 300))
                        case 1...4:
                            // As long as a worker lingers, more or less.
                            let end = ContinuousClock.now + .nanoseconds(Int64(own.next() % 120_000))
                            while ContinuousClock.now < end {}
                        default: break
                        }
                        there <- n
                        if (<-back) != n + 1 { wrong.add(1) }
                    }
                    there.close()
                    finished.done()
                }
            }
            finished.wait()
            #expect(wrong.load() == 0)
        }
    }
}
