import CSP
import Testing

extension StressTests {
    /// Bubbles beside each other and beside goroutines outside: each has its own time, loses nobody, and ends.
    @Test func bubblesBesideEachOther() {
        stress(rounds: 3, stressedRounds: 60) { random in
            let all = WaitGroup(), outside = Channel<Int>(), stop = Channel<Never>()
            go { while case .some = outside.receive() { Goroutine.yield() } }
            go {
                var isOver = false
                while !isOver {
                    select {
                        Send(1, to: outside) {}
                        Receive(stop) { _ in isOver = true }
                    }
                }
                outside.close()
            }
            for n in 0..<8 {
                let seed = random.next()
                all.go {
                    guard n % 4 == 0 else { return run(seed, Bubble()) }
                    // With a guide the same happens again, whoever else is about.
                    let guide = Guide(seed: seed, mostSteps: 100_000)
                    let first = Bubble(guide: guide), second = Bubble(guide: guide)
                    run(seed, first)
                    run(seed, second)
                    #expect(first.trace!.describe() == second.trace!.describe())
                }
            }
            all.wait()
            stop.close()
        }
    }
}

private func run(_ seed: UInt64, _ bubble: Bubble) {
    let seconds = SharedAtomic(0)
    let family = bubble.begin { seconds.store(crowd(seed)) }
    bubble.waitForEnd()
    if case .done? = bubble.outcome {} else { Issue.record("\(bubble.outcome!), seed \(seed)") }
    #expect(family.count == 0)
    // A guide lets time pass while goroutines could go on, too.
    let expected = Duration.seconds(seconds.load())
    #expect(bubble.isGuided ? bubble.elapsed >= expected : bubble.elapsed == expected)
}

/// Goroutines that sleep, talk, lock, wait outside and are locked to threads. Returns how many seconds that takes by their clock.
private func crowd(_ seed: UInt64) -> Int {
    var random = SeededGenerator(seed: seed)
    let all = WaitGroup(), sum = Mutex(0), numbers = Channel<Int>(capacity: Int(random.next() % 3))
    let longest = 5 + Int(random.next() % 5)
    go { for n in numbers { sum.withLock { $0 += n } } }
    for n in 0...longest {
        let kind = random.next() % 4
        all.go {
            let sleepAndSend = {
                Time.sleep(for: .seconds(n))
                numbers <- n
            }
            switch kind {
            case 0: sleepAndSend()
            case 1: Goroutine.withLockedThread(sleepAndSend)
            case 2:
                select {
                    Receive(Channel<Never>()) { _ in }
                    After(.seconds(n)) {}
                }
                numbers <- n
            default:
                let (context, cancel) = Context.background.withTimeout(.seconds(n))
                defer { cancel() }
                context.done.receive()
                blocking { Goroutine.yield() }
                numbers <- n
            }
        }
    }
    all.wait()
    numbers.close()
    Bubble.current!.waitUntilIdle()
    #expect(sum.withLock { $0 } == longest * (longest + 1) / 2)
    return longest
}
