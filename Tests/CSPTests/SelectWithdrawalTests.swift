import CSP
import Testing

/// A select that chose one case has left no trace on the channels of the others.
@Suite struct SelectWithdrawalTests {
    @Test func losingReceivesAreWithdrawn() {
        inGoroutine {
            let winner = Channel<Int>()
            let losers = (0..<3).map { _ in Channel<Int>() }
            for n in 0..<500 {
                go { winner <- n }
                let value: Int = select {
                    Receive(losers[0]) { _ in -1 }
                    Receive(winner) { $0! }
                    Receive(losers[1]) { _ in -1 }
                    Receive(losers[2]) { _ in -1 }
                }
                #expect(value == n)
                for loser in losers { #expect(!loser.trySend(n)) }
            }
        }
    }

    @Test func losingSendsAreWithdrawn() {
        inGoroutine {
            let winner = Channel<Int>()
            let losers = (0..<2).map { _ in Channel<Int>() }
            for n in 0..<500 {
                go { select { Send(n, to: winner) {} } }
                let value: Int = select {
                    Send(-1, to: losers[0]) { -1 }
                    Receive(winner) { $0! }
                    Send(-1, to: losers[1]) { -1 }
                }
                #expect(value == n)
                for loser in losers { #expect(Attempt(loser.tryReceive()) == .empty) }
            }
        }
    }

    @Test func losersAreWithdrawnAfterATimeout() {
        inGoroutine {
            let receiving = Channel<Int>()
            let sending = Channel<Int>()
            for _ in 0..<100 {
                select {
                    Receive(receiving) { _ in }
                    Send(1, to: sending) {}
                    After(.microseconds(200)) {}
                }
                #expect(!receiving.trySend(1))
                #expect(Attempt(sending.tryReceive()) == .empty)
            }
        }
    }

    @Test func losersAreWithdrawnFromAThreadsSelect() {
        let winner = Channel<Int>()
        let loser = Channel<Int>()
        go { for n in 0..<200 { winner <- n } }
        onThread {
            for n in 0..<200 {
                let value: Int = select {
                    Receive(loser) { _ in -1 }
                    Send(-1, to: loser) { -1 }
                    Receive(winner) { $0! }
                }
                #expect(value == n)
                #expect(!loser.trySend(0))
                #expect(Attempt(loser.tryReceive()) == .empty)
            }
        }
    }

    @Test func otherWaitersOnALosersChannelKeepTheirPlaces() {
        inGoroutine {
            let shared = Channel<Int>()
            let winner = Channel<Int>()
            let served = Channel<(waiter: Int, value: Int)>(capacity: 3)
            go { served.send((0, shared.receive()!)) }
            settle()
            let selected = WaitGroup()
            selected.go {
                select {
                    Receive(shared) { _ in Issue.record("the other case was meant to win") }
                    Receive(winner) { _ in }
                }
            }
            settle()
            go { served.send((1, shared.receive()!)) }
            settle()
            // Leaves the middle of the line; assumes, as the order does, that all three were parked.
            winner <- 1
            selected.wait()
            shared <- 100
            shared <- 101
            for _ in 0..<2 {
                let (waiter, value) = served.receive()!
                #expect(value == 100 + waiter)
            }
        }
    }

    @Test func racingSendersLoseNothing() {
        inGoroutine {
            let one = Channel<Int>()
            let other = Channel<Int>()
            let senders = WaitGroup()
            let quit = Channel<Never>()
            let counts = (0..<2_000).map { _ in SharedAtomic(0) }
            for sender in 0..<4 {
                senders.go {
                    for n in 0..<500 {
                        let value = sender * 500 + n
                        if sender % 2 == 0 { one <- value } else { other <- value }
                    }
                }
            }
            let receivers = WaitGroup()
            for _ in 0..<4 {
                receivers.go {
                    var running = true
                    while running {
                        select {
                            Receive(one) { value in _ = counts[value!].add(1) }
                            Receive(other) { value in _ = counts[value!].add(1) }
                            Receive(quit) { _ in running = false }
                        }
                    }
                }
            }
            senders.wait()
            quit.close()
            receivers.wait()
            #expect(counts.allSatisfy { $0.load() == 1 })
        }
    }

    @Test func closingALosersChannelLaterDisturbsNobody() {
        inGoroutine {
            for n in 0..<200 {
                let winner = Channel<Int>()
                let loser = Channel<Int>()
                go { winner <- n }
                let value: Int = select {
                    Receive(loser) { _ in -1 }
                    Send(-1, to: loser) { -1 }
                    Receive(winner) { $0! }
                }
                loser.close()
                #expect(value == n)
            }
        }
    }
}
