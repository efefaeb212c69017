import CSP
import Testing

@Suite struct SelectTests {
    @Test func theReadyReceiveIsChosen() {
        onThread {
            let ready = Channel<Int>(capacity: 1)
            let idle = Channel<Int>()
            ready <- 5
            let value: Int = select {
                Receive(idle) { _ in -1 }
                Receive(ready) { $0! }
            }
            #expect(value == 5)
            #expect(ready.count == 0)
        }
    }

    @Test func theReadySendIsChosen() {
        onThread {
            let room = Channel<Int>(capacity: 1)
            let full = Channel<Int>()
            let chosen: String = select {
                Send(1, to: full) { "full" }
                Send(2, to: room) { "room" }
            }
            #expect(chosen == "room")
            #expect((<-room) == 2)
        }
    }

    @Test func aSingleCaseIsAPlainOperation() {
        inGoroutine {
            let channel = Channel<Int>()
            go { select { Send(3, to: channel) {} } }
            #expect(select { Receive(channel) { $0 } } == 3)
        }
    }

    @Test func aWaitingSelectIsWokenByASend() {
        inGoroutine {
            let one = Channel<Int>()
            let other = Channel<String>()
            let results = Channel<String>()
            for _ in 0..<2 {
                go {
                    results
                        <- select {
                            Receive(one) { "one \($0!)" }
                            Receive(other) { "other \($0!)" }
                        }
                }
            }
            settle()
            other <- "x"
            #expect((<-results) == "other x")
            one <- 4
            #expect((<-results) == "one 4")
        }
    }

    @Test func aWaitingSelectIsWokenByAReceive() {
        inGoroutine {
            let one = Channel<Int>()
            let other = Channel<Int>()
            let results = Channel<String>(capacity: 1)
            go {
                results
                    <- select {
                        Send(1, to: one) { "one" }
                        Send(2, to: other) { "other" }
                    }
            }
            settle()
            #expect((<-other) == 2)
            #expect((<-results) == "other")
            #expect(Attempt(one.tryReceive()) == .empty)
        }
    }

    @Test func aReceiveFromAClosedChannelIsReadyWithNil() {
        onThread {
            let closed = Channel<Int>()
            closed.close()
            let idle = Channel<Int>()
            for _ in 0..<20 {
                let value: Int? = select {
                    Receive(idle) { $0 }
                    Receive(closed) { $0 }
                }
                #expect(value == nil)
            }
        }
    }

    @Test func bufferedValuesOfAClosedChannelComeFirst() {
        onThread {
            let channel = Channel<Int>(capacity: 2)
            channel <- 1
            channel <- 2
            channel.close()
            var seen: [Int?] = []
            for _ in 0..<3 { seen.append(select { Receive(channel) { $0 } }) }
            #expect(seen == [1, 2, nil])
        }
    }

    @Test func nilChannelsAreNeverReady() {
        onThread {
            let none: Channel<Int>? = nil
            let noReceiver: ReceiveChannel<Int>? = nil
            let noSender: SendChannel<Int>? = nil
            for _ in 0..<50 {
                let chosen: String = select {
                    Receive(none) { _ in "receive" }
                    Receive(noReceiver) { _ in "receiver" }
                    Send(1, to: none) { "send" }
                    Send(1, to: noSender) { "sender" }
                    Default { "default" }
                }
                #expect(chosen == "default")
            }
        }
    }

    @Test func nilChannelsStandBesideOthers() {
        inGoroutine {
            let none: Channel<Int>? = nil
            let channel = Channel<Int>()
            go {
                settle()
                channel <- 6
            }
            let value: Int = select {
                Receive(none) { _ in -1 }
                Send(1, to: none) { -2 }
                Receive(channel) { $0! }
            }
            #expect(value == 6)
        }
    }

    @Test func allNilChannelsWaitForEver() {
        inGoroutine {
            let none: Channel<Int>? = nil
            let passed = SharedAtomic(0)
            go {
                select { Receive(none) { _ in } }
                passed.store(1)
            }
            settle()
            #expect(passed.load() == 0)
        }
    }

    @Test func selectTakesTheDirectionalHalves() {
        inGoroutine {
            let channel = Channel<Int>()
            go { select { Send(9, to: channel.sender) {} } }
            #expect(select { Receive(channel.receiver) { $0 } } == 9)
        }
    }

    @Test func operandsAreEvaluatedOnceAndInOrder() {
        onThread {
            let one = Channel<Int>()
            let two = Channel<Int>()
            var order: [Int] = []
            func note<T>(_ place: Int, _ value: T) -> T {
                order.append(place)
                return value
            }
            select {
                Receive(note(1, one)) { _ in }
                Send(note(2, 5), to: note(3, two)) {}
                Receive(note(4, two)) { _ in }
                After(note(5, .seconds(60))) {}
                Default {}
            }
            #expect(order == [1, 2, 3, 4, 5])
        }
    }

    @Test func onlyTheChosenBodyRuns() {
        onThread {
            let one = Channel<Int>(capacity: 1)
            let other = Channel<Int>(capacity: 1)
            let bodies = SharedAtomic(0)
            for _ in 0..<100 {
                _ = one.trySend(1)
                _ = other.trySend(1)
                select {
                    Receive(one) { _ in _ = bodies.add(1) }
                    Receive(other) { _ in _ = bodies.add(1) }
                    Default { bodies.add(1_000) }
                }
            }
            #expect(bodies.load() == 100)
        }
    }

    @Test func aBodyMaySelectAndGoOn() {
        inGoroutine {
            let outer = Channel<Int>()
            let inner = Channel<Int>()
            go {
                outer <- 1
                inner <- 2
            }
            let sum: Int = select {
                Receive(outer) { first in
                    first! + select { Receive(inner) { $0! } }
                }
                Receive(inner) { _ in -1 }
            }
            #expect(sum == 3)
        }
    }

    @Test func manyCasesStandInOneSelect() {
        inGoroutine {
            let channels = (0..<10).map { _ in Channel<Int>() }
            for n in 0..<10 {
                go { channels[n] <- n }
                let value: Int = select {
                    Receive(channels[0]) { $0! }
                    Receive(channels[1]) { $0! }
                    Receive(channels[2]) { $0! }
                    Receive(channels[3]) { $0! }
                    Receive(channels[4]) { $0! }
                    Receive(channels[5]) { $0! }
                    Receive(channels[6]) { $0! }
                    Receive(channels[7]) { $0! }
                    Receive(channels[8]) { $0! }
                    Receive(channels[9]) { $0! }
                }
                #expect(value == n)
            }
        }
    }

    @Test func casesOfDifferentElementsStandTogether() {
        inGoroutine {
            let numbers = Channel<Int>()
            let texts = Channel<String>()
            let signals = Channel<Void>()
            let blocks = Channel<InlineArray<64, Int>>()
            go {
                numbers <- 1
                texts <- "a"
                signals <- ()
                blocks <- InlineArray<64, Int> { $0 }
            }
            var seen: [String] = []
            for _ in 0..<4 {
                seen.append(
                    select {
                        Receive(numbers) { "number \($0!)" }
                        Receive(texts) { "text \($0!)" }
                        Receive(signals) { _ in "signal" }
                        Receive(blocks) { "block \($0![63])" }
                    })
            }
            #expect(seen == ["number 1", "text a", "signal", "block 63"])
        }
    }

    @Test func aThreadMaySelect() {
        let numbers = Channel<Int>()
        let quit = Channel<Never>()
        go {
            for n in 0..<500 { numbers <- n }
            quit.close()
        }
        onThread {
            var next = 0
            var running = true
            while running {
                select {
                    Receive(numbers) { value in
                        #expect(value == next)
                        next += 1
                    }
                    Receive(quit) { _ in running = false }
                }
            }
            #expect(next == 500)
        }
    }

    @Test func aThreadsSelectMaySend() {
        let numbers = Channel<Int>()
        let other = Channel<Int>()
        let sum = SharedAtomic(0)
        let finished = WaitGroup()
        finished.go { for n in numbers { sum.add(n) } }
        onThread {
            for n in 1...300 {
                select {
                    Send(n, to: numbers) {}
                    Receive(other) { _ in }
                }
            }
            numbers.close()
            finished.wait()
            #expect(sum.load() == 300 * 301 / 2)
        }
    }
}
