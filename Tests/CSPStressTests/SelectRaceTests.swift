import CSP
import Testing

/// What hangs on some instructions in a row: two threads go for it at once, many times.
extension StressTests {
    /// A select that waits on two channels, and two who send at the same time: one of them meets it.
    @Test func aSelectThatWaitsIsMetOnce() {
        let meetings = stressing ? 5000 : 200
        stress(rounds: 1, stressedRounds: 20) { random in
            let channels = [Channel<Int>(), Channel<Int>()]
            let begun = SharedAtomic(0), arrived = SharedAtomic(0), tried = SharedAtomic(0), met = SharedAtomic(0)
            everywhere(goroutines: 1, threads: 2, &random) { index, _ in
                for n in 1...meetings {
                    if index == 0 {
                        begun.store(n)
                        select {
                            Receive(channels[0]) { _ in }
                            Receive(channels[1]) { _ in }
                        }
                        // Otherwise one who is late meets the next select.
                        spin { tried.load() == 2 * n }
                        continue
                    }
                    let channel = channels[index - 1]
                    spin { begun.load() == n && channel.waitingReceivers == 1 }
                    arrived.add(1)
                    spin { arrived.load() >= 2 * n }
                    if channel.trySend(n) { met.add(1) }
                    tried.add(1)
                    spin { tried.load() >= 2 * n }
                    if index == 1, met.load() != n { Issue.record("met \(met.load()) times, not \(n)") }
                }
            }
        }
    }

    /// There is always a value in one channel or the other, though it changes places: a select never comes to its default.
    @Test func aDefaultMeansThatNoneWasReadyAtOneMoment() {
        let moves = stressing ? 400_000 : 100_000
        stress(rounds: 1, stressedRounds: 20) { random in
            let channels = [Channel<Int>(capacity: 2), Channel<Int>(capacity: 2)]
            channels[0] <- 0
            let others = (0..<3).map { _ in Channel<Int>() }, isDone = SharedAtomic(0)
            everywhere(goroutines: 1, threads: 1, &random) { index, _ in
                if index == 0 {
                    for n in 1...moves {
                        // There before it is taken from where it was.
                        channels[n % 2] <- n
                        channels[1 - n % 2].receive()
                    }
                    isDone.store(1)
                    return
                }
                while isDone.load() == 0 {
                    let outcome = select {
                        Receive(channels[0]) { ChannelOutcome.received(place: 0, $0) }
                        // It takes a while to look from the first to the last.
                        Receive(others[0]) { ChannelOutcome.received(place: 0, $0) }
                        Receive(others[1]) { ChannelOutcome.received(place: 0, $0) }
                        Receive(others[2]) { ChannelOutcome.received(place: 0, $0) }
                        Receive(channels[1]) { ChannelOutcome.received(place: 1, $0) }
                        Default { ChannelOutcome.byDefault }
                    }
                    guard case .received(let place, let value?) = outcome else {
                        Issue.record("neither was ready")
                        return
                    }
                    channels[place] <- value
                }
            }
        }
    }
}

/// Until the condition holds, at first without letting others run: what follows shall be at the same time as on another thread.
private func spin(_ condition: () -> Bool) {
    var rounds = 0
    while !condition() {
        rounds += 1
        if rounds > 200 { Time.sleep(for: .microseconds(10)) }
    }
}
