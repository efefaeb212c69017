import CSP
import Testing

/// Selects whose partners are selects, and channels that stand in a select for both directions.
@Suite struct SelectMeetingTests {
    @Test func aSelectDoesNotMeetItself() {
        inGoroutine {
            let channel = Channel<Int>()
            for _ in 0..<100 {
                let chosen: String = select {
                    Send(1, to: channel) { "send" }
                    Receive(channel) { _ in "receive" }
                    Default { "default" }
                }
                #expect(chosen == "default")
            }
            let timedOut: String = select {
                Receive(channel) { _ in "receive" }
                Send(1, to: channel) { "send" }
                After(.milliseconds(20)) { "after" }
            }
            #expect(timedOut == "after")
            #expect(!channel.trySend(1))
            #expect(Attempt(channel.tryReceive()) == .empty)
        }
    }

    @Test func twoSelectsOnOneChannelMeetInBothDirections() {
        inGoroutine {
            let channel = Channel<Int>()
            let outcomes = Channel<String>(capacity: 2)
            var directions: Set<String> = []
            for _ in 0..<500 {
                for n in 0..<2 {
                    go {
                        outcomes
                            <- select {
                                Send(n, to: channel) { "\(n) sent" }
                                Receive(channel) { "\(n) received \($0!)" }
                            }
                    }
                }
                let pair = [(<-outcomes)!, (<-outcomes)!].sorted()
                #expect(pair == ["0 received 1", "1 sent"] || pair == ["0 sent", "1 received 0"])
                directions.formUnion(pair)
            }
        }
    }

    @Test func manySelectsPairUpExactly() {
        inGoroutine {
            let count = 1_000
            let channels = [Channel<Int>(), Channel<Int>()]
            let sent = SharedAtomic(0)
            let received = SharedAtomic(0)
            let sentSum = SharedAtomic(0)
            let receivedSum = SharedAtomic(0)
            let finished = WaitGroup()
            for n in 1...count {
                finished.go {
                    select {
                        Send(n, to: channels[0]) {
                            sent.add(1)
                            sentSum.add(n)
                        }
                        Receive(channels[0]) { value in
                            received.add(1)
                            receivedSum.add(value!)
                        }
                        Send(n, to: channels[1]) {
                            sent.add(1)
                            sentSum.add(n)
                        }
                        Receive(channels[1]) { value in
                            received.add(1)
                            receivedSum.add(value!)
                        }
                    }
                }
            }
            // An even number: each finds a partner in the end, if only by a late one on the same channel.
            var helped = 0
            while sent.load() + received.load() < count {
                Time.sleep(for: .milliseconds(1))
                // Two left over may sit one on each side only if a channel matched neither, which cannot be.
                helped += 1
                if helped > 20_000 { break }
            }
            finished.wait()
            #expect(sent.load() == count / 2)
            #expect(received.load() == count / 2)
            #expect(sentSum.load() == receivedSum.load())
        }
    }

    @Test func channelsInOppositeOrderDoNotDeadlock() {
        inGoroutine {
            let a = Channel<Int>()
            let b = Channel<Int>()
            let finished = WaitGroup()
            let exchanged = SharedAtomic(0)
            for _ in 0..<2 {
                finished.go {
                    for n in 0..<2_000 {
                        select {
                            Send(n, to: a) {}
                            Receive(b) { _ in _ = exchanged.add(1) }
                        }
                    }
                }
                finished.go {
                    for n in 0..<2_000 {
                        select {
                            Send(n, to: b) {}
                            Receive(a) { _ in _ = exchanged.add(1) }
                        }
                    }
                }
            }
            finished.wait()
            #expect(exchanged.load() == 4_000)
        }
    }

    @Test func aChannelInBothDirectionsWakesForEither() {
        inGoroutine {
            let channel = Channel<Int>()
            let outcomes = Channel<String>()
            go {
                for _ in 0..<2 {
                    outcomes
                        <- select {
                            Send(1, to: channel) { "sent" }
                            Receive(channel) { "received \($0!)" }
                        }
                }
            }
            settle()
            #expect((<-channel) == 1)
            #expect((<-outcomes) == "sent")
            settle()
            channel <- 2
            #expect((<-outcomes) == "received 2")
        }
    }

    @Test func aBufferedChannelInBothDirectionsTakesAndGives() {
        onThread {
            let channel = Channel<Int>(capacity: 1)
            var balance = 0
            var wrong = 0
            for n in 0..<1_000 {
                select {
                    Send(n, to: channel) { balance += 1 }
                    Receive(channel) { _ in balance -= 1 }
                }
                if balance != channel.count { wrong += 1 }
            }
            #expect(wrong == 0)
        }
    }
}
