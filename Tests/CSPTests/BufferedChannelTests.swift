import CSP
import Testing

@Suite struct BufferedChannelTests {
    @Test func sendsUpToTheCapacityDoNotWait() {
        onThread {
            // Nobody else is there: a send that waited would hang.
            let channel = Channel<Int>(capacity: 5)
            for n in 0..<5 { channel <- n }
            #expect(channel.count == 5)
            #expect(channel.trySend(5) == false)
        }
    }

    @Test func valuesComeOutInTheOrderTheyWentIn() {
        onThread {
            let channel = Channel<Int>(capacity: 7)
            var next = 0
            var expected = 0
            // Fill and drain by unequal steps, so that the ring wraps at each offset.
            for round in 0..<500 {
                for _ in 0..<(round % 7 + 1) where channel.trySend(next) { next += 1 }
                for _ in 0..<(round % 5 + 1) {
                    guard case .value(let value) = channel.tryReceive() else { break }
                    #expect(value == expected)
                    expected += 1
                }
            }
            channel.close()
            for value in channel {
                #expect(value == expected)
                expected += 1
            }
            #expect(expected == next)
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 8, 100, 1_000])
    func everyCapacityHoldsExactlyThatMany(capacity: Int) {
        let channel = Channel<Int>(capacity: capacity)
        #expect(channel.capacity == capacity)
        for n in 0..<capacity {
            #expect(channel.count == n)
            #expect(channel.trySend(n))
        }
        #expect(!channel.trySend(-1))
        #expect(channel.count == capacity)
        for n in 0..<capacity { #expect(Attempt(channel.tryReceive()) == .value(n)) }
        #expect(Attempt(channel.tryReceive()) == .empty)
        #expect(channel.count == 0)
    }

    @Test func aFullBufferHoldsTheSenderBackUntilAReceive() {
        inGoroutine {
            let channel = Channel<Int>(capacity: 2)
            let sent = SharedAtomic(0)
            let finished = WaitGroup()
            finished.go {
                for n in 0..<5 {
                    channel <- n
                    sent.add(1)
                }
            }
            // The k-th receive completes before the (k + C)-th send does.
            for received in 0..<5 {
                settle()
                #expect(sent.load() <= received + 2)
                #expect((<-channel) == received)
            }
            finished.wait()
            #expect(sent.load() == 5)
        }
    }

    @Test func aParkedReceiverGetsTheValueItself() {
        inGoroutine {
            let channel = Channel<Int>(capacity: 3)
            let received = Channel<Int>()
            go { received <- (<-channel)! }
            settle()  // The receiver is parked by now: that much is assumed.
            channel <- 1
            #expect(channel.count == 0)
            #expect((<-received) == 1)
        }
    }

    @Test func aParkedSendersValueMovesUpWhenTheHeadIsTaken() {
        inGoroutine {
            let channel = Channel<Int>(capacity: 2)
            channel <- 0
            channel <- 1
            let finished = WaitGroup()
            finished.go { channel <- 2 }
            settle()  // The sender is parked by now: that much is assumed.
            #expect((<-channel) == 0)
            #expect(channel.count == 2)
            finished.wait()
            #expect((<-channel) == 1)
            #expect((<-channel) == 2)
        }
    }

    @Test func manySendersAndReceiversLoseAndDoubleNothing() {
        inGoroutine {
            let channel = Channel<Int>(capacity: 3)
            let senders = WaitGroup()
            let receivers = WaitGroup()
            let counts = (0..<2_000).map { _ in SharedAtomic(0) }
            for sender in 0..<20 {
                senders.go { for n in 0..<100 { channel <- sender * 100 + n } }
            }
            for _ in 0..<10 {
                receivers.go { for n in channel { counts[n].add(1) } }
            }
            senders.wait()
            channel.close()
            receivers.wait()
            #expect(counts.allSatisfy { $0.load() == 1 })
        }
    }

    @Test func eachSendersValuesKeepTheirOrder() {
        inGoroutine {
            let channel = Channel<(sender: Int, number: Int)>(capacity: 2)
            let senders = WaitGroup()
            for sender in 0..<8 {
                senders.go { for number in 0..<200 { channel.send((sender, number)) } }
            }
            go {
                senders.wait()
                channel.close()
            }
            var next = Array(repeating: 0, count: 8)
            var disordered = 0
            for (sender, number) in channel {
                if next[sender] != number { disordered += 1 }
                next[sender] = number + 1
            }
            #expect(disordered == 0)
            #expect(next == Array(repeating: 200, count: 8))
        }
    }
}
