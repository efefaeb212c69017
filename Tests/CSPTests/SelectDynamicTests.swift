import CSP
import Testing

@Suite struct SelectDynamicTests {
    @Test func theReadyCaseOfAnArrayIsChosen() {
        inGoroutine {
            let channels = (0..<100).map { _ in Channel<Int>(capacity: 1) }
            for n in [0, 1, 50, 98, 99] {
                channels[n] <- n
                let (place, value) = select(
                    channels.enumerated().map { place, channel in
                        AnySelectCase(Receive(channel) { (place, $0!) })
                    })
                #expect(place == n)
                #expect(value == n)
            }
        }
    }

    @Test func aWaitingArrayIsWokenByAnyOfItsChannels() {
        inGoroutine {
            let channels = (0..<50).map { _ in Channel<Int>() }
            let order = Channel<Int>()
            go { for n in order { channels[n] <- n * 10 } }
            for n in [49, 0, 25, 25, 7] {
                order <- n
                let value = select(channels.map { channel in AnySelectCase(Receive(channel) { $0! }) })
                #expect(value == n * 10)
            }
            order.close()
        }
    }

    @Test func sendsAftersAndDefaultsStandInArraysToo() {
        inGoroutine {
            let room = Channel<Int>(capacity: 1)
            let idle = Channel<Int>()
            let cases: () -> [AnySelectCase<String>] = {
                [
                    AnySelectCase(Receive(idle) { _ in "receive" }),
                    AnySelectCase(Send(1, to: room) { "send" }),
                    AnySelectCase(Default { "default" }),
                ]
            }
            #expect(select(cases()) == "send")
            #expect(select(cases()) == "default")
            #expect((<-room) == 1)
            let timed: [AnySelectCase<String>] = [
                AnySelectCase(Receive(idle) { _ in "receive" }),
                AnySelectCase(After(.milliseconds(5)) { "after" }),
            ]
            #expect(select(timed) == "after")
        }
    }

    @Test func nilChannelsInAnArrayAreNeverReady() {
        inGoroutine {
            let none: Channel<Int>? = nil
            let ready = Channel<Int>(capacity: 1)
            ready <- 2
            let value = select([
                AnySelectCase(Receive(none) { _ in -1 }),
                AnySelectCase(Receive(ready) { $0! }),
                AnySelectCase(Send(1, to: none) { -2 }),
            ])
            #expect(value == 2)
        }
    }

    @Test func anEmptyArrayWaitsForEver() {
        inGoroutine {
            let passed = SharedAtomic(0)
            go("parked for ever") {
                select([AnySelectCase<Void>]())
                passed.store(1)
            }
            settle()
            #expect(passed.load() == 0)
        }
    }

    @Test func theSameChannelStandsInAnArrayManyTimes() {
        inGoroutine {
            let channel = Channel<Int>()
            let sum = SharedAtomic(0)
            let finished = WaitGroup()
            for _ in 0..<20 {
                finished.go {
                    sum.add(select((0..<5).map { _ in AnySelectCase(Receive(channel) { $0! }) }))
                }
            }
            settle()
            for n in 1...20 { channel <- n }
            finished.wait()
            #expect(sum.load() == 210)
            #expect(!channel.trySend(0))
        }
    }

    @Test func aThreadMaySelectFromAnArray() {
        let channels = (0..<10).map { _ in Channel<Int>() }
        go { for n in 0..<100 { channels[n * 7 % 10] <- n } }
        onThread {
            for n in 0..<100 {
                #expect(select(channels.map { channel in AnySelectCase(Receive(channel) { $0! }) }) == n)
            }
        }
    }

    @Test func staticAndDynamicSelectsMeet() {
        inGoroutine {
            let channels = (0..<6).map { _ in Channel<Int>() }
            let total = 1_000
            go {
                for n in 0..<total {
                    select(channels[0..<3].map { channel in AnySelectCase(Send(n, to: channel) {}) })
                }
                for channel in channels { channel.close() }
            }
            var expected = 0
            var open = true
            while open {
                select {
                    Receive(channels[0]) { value in
                        if let value { #expect(value == expected) }
                        if value == nil { open = false } else { expected += 1 }
                    }
                    Receive(channels[1]) { value in
                        if let value { #expect(value == expected) }
                        if value == nil { open = false } else { expected += 1 }
                    }
                    Receive(channels[2]) { value in
                        if let value { #expect(value == expected) }
                        if value == nil { open = false } else { expected += 1 }
                    }
                }
            }
            #expect(expected == total)
        }
    }
}
