import CSP
import Testing

@Suite struct ChannelTryTests {
    @Test func trySendWithoutAReceiverIsRefused() {
        let channel = Channel<Int>()
        #expect(!channel.trySend(1))
        #expect(Attempt(channel.tryReceive()) == .empty)
    }

    @Test func trySendReachesAParkedReceiver() {
        inGoroutine {
            let channel = Channel<Int>()
            let received = Channel<Int>(capacity: 1)
            go { received <- (<-channel)! }
            #expect(eventually { channel.trySend(7) })
            #expect((<-received) == 7)
        }
    }

    @Test func tryReceiveTakesFromAParkedSender() {
        inGoroutine {
            let channel = Channel<Int>()
            let finished = WaitGroup()
            finished.go { channel <- 7 }
            var taken = Attempt<Int>.empty
            #expect(
                eventually {
                    taken = Attempt(channel.tryReceive())
                    return taken != .empty
                })
            #expect(taken == .value(7))
            finished.wait()
        }
    }

    @Test func trySendFillsTheBufferAndNoMore() {
        let channel = Channel<String>(capacity: 2)
        #expect(channel.trySend("a"))
        #expect(channel.trySend("b"))
        #expect(!channel.trySend("c"))
        #expect(Attempt(channel.tryReceive()) == .value("a"))
        #expect(channel.trySend("d"))
        #expect(Attempt(channel.tryReceive()) == .value("b"))
        #expect(Attempt(channel.tryReceive()) == .value("d"))
    }

    @Test func trySendFromASlotTakesTheValueOnlyWhenSent() {
        let channel = Channel<String>(capacity: 1)
        var slot: String? = "first"
        #expect(channel.trySend(from: &slot))
        #expect(slot == nil)
        slot = "second"
        #expect(!channel.trySend(from: &slot))
        #expect(slot == "second")
        #expect(Attempt(channel.tryReceive()) == .value("first"))
        #expect(channel.trySend(from: &slot))
        #expect(slot == nil)
    }

    @Test func aNoncopyableValueStaysInItsSlotWhenRefused() {
        let ledger = Ledger(2)
        do {
            let channel = Channel<Token>(capacity: 1)
            var slot: Token? = ledger.token(0)
            var sent = channel.trySend(from: &slot)
            #expect(sent)
            let emptied = slot == nil
            #expect(emptied)
            slot = ledger.token(1)
            sent = channel.trySend(from: &slot)
            #expect(!sent)
            let kept = slot?.id
            #expect(kept == 1)
            #expect(ledger.counts == [0, 0])
            if let token = slot.take() { #expect(token.id == 1) }
            #expect(ledger.counts == [0, 1])
        }
        #expect(ledger.counts == [1, 1])
    }

    @Test func aRefusedTrySendReleasesItsValueOnce() {
        let ledger = Ledger(1)
        let channel = Channel<Token>()
        #expect(!channel.trySend(0, of: ledger))
        #expect(ledger.counts == [1])
    }

    @Test func tryFormsWorkInsideASwiftTask() async {
        let channel = Channel<Int>(capacity: 1)
        #expect(channel.trySend(1))
        #expect(!channel.trySend(2))
        #expect(Attempt(channel.tryReceive()) == .value(1))
        channel.close()
        #expect(Attempt(channel.tryReceive()) == .closed)
    }

    @Test func pollingBothSidesLosesNothing() {
        inGoroutine {
            let channel = Channel<Int>(capacity: 1)
            go {
                for n in 0..<2_000 {
                    while !channel.trySend(n) { Goroutine.yield() }
                }
                channel.close()
            }
            var expected = 0
            while true {
                switch channel.tryReceive() {
                case .value(let value):
                    #expect(value == expected)
                    expected += 1
                case .empty:
                    Goroutine.yield()
                case .closed:
                    #expect(expected == 2_000)
                    return
                }
            }
        }
    }
}
