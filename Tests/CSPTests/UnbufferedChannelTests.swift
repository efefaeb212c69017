import CSP
import Testing

@Suite struct UnbufferedChannelTests {
    @Test func sendWaitsForAReceiver() {
        inGoroutine {
            let channel = Channel<Int>()
            let sent = SharedAtomic(0)
            let finished = WaitGroup()
            finished.go {
                channel <- 1
                sent.store(1)
            }
            settle()
            #expect(sent.load() == 0)
            #expect((<-channel) == 1)
            finished.wait()
            #expect(sent.load() == 1)
        }
    }

    @Test func receiveWaitsForASender() {
        inGoroutine {
            let channel = Channel<Int>()
            let received = SharedAtomic(0)
            let finished = WaitGroup()
            finished.go { received.store((<-channel)!) }
            settle()
            #expect(received.load() == 0)
            channel <- 2
            finished.wait()
            #expect(received.load() == 2)
        }
    }

    @Test func valuesArriveInOrder() {
        inGoroutine {
            let channel = Channel<Int>()
            go {
                for n in 0..<5_000 { channel <- n }
                channel.close()
            }
            #expect(Array(channel) == Array(0..<5_000))
        }
    }

    @Test func whatTheSenderWroteIsSeenByTheReceiver() {
        final class Cell { var value = 0 }
        inGoroutine {
            let cells = Channel<Cell>()
            go {
                for n in 0..<1_000 {
                    let cell = Cell()
                    cell.value = n
                    cells.send(cell)
                }
                cells.close()
            }
            var expected = 0
            for cell in cells {
                #expect(cell.value == expected)
                expected += 1
            }
            #expect(expected == 1_000)
        }
    }

    @Test func theReceiveCompletesBeforeTheSendDoes() {
        inGoroutine {
            let channel = Channel<Int>()
            let early = SharedAtomic(0)
            let taken = SharedAtomic(0)
            go {
                for n in 1...1_000 {
                    channel <- n
                    // The receiver has the (n - 1)-th in hand once it came back for the n-th.
                    if taken.load() < n - 1 { early.add(1) }
                }
                channel.close()
            }
            for n in channel { taken.store(n) }
            #expect(early.load() == 0)
            #expect(taken.load() == 1_000)
        }
    }

    @Test func countAndCapacityAreZeroWhoeverWaits() {
        inGoroutine {
            let channel = Channel<Int>()
            #expect(channel.count == 0)
            #expect(channel.capacity == 0)
            go { channel <- 1 }
            settle()
            #expect(channel.count == 0)
            channel.receive()
            go { channel.receive() }
            settle()
            #expect(channel.count == 0)
            channel <- 2
        }
    }

    @Test func eachValueGoesToOneReceiver() {
        inGoroutine {
            let channel = Channel<Int>()
            let sum = SharedAtomic(0)
            let received = SharedAtomic(0)
            let finished = WaitGroup()
            for _ in 0..<20 {
                finished.go {
                    for n in channel {
                        sum.add(n)
                        received.add(1)
                    }
                }
            }
            for n in 1...2_000 { channel <- n }
            channel.close()
            finished.wait()
            #expect(received.load() == 2_000)
            #expect(sum.load() == 2_000 * 2_001 / 2)
        }
    }
}
