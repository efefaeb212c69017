import CSP
import Testing

/// `After` and `Default`.
@Suite struct SelectTimeTests {
    @Test func defaultRunsWhenNothingIsReady() {
        onThread {
            let idle = Channel<Int>()
            let full = Channel<Int>(capacity: 1)
            full <- 0
            let chosen: String = select {
                Receive(idle) { _ in "receive" }
                Send(1, to: full) { "send" }
                Default { "default" }
            }
            #expect(chosen == "default")
            #expect(full.count == 1)
        }
    }

    @Test func defaultYieldsToWhatIsReady() {
        onThread {
            let ready = Channel<Int>(capacity: 1)
            for n in 0..<200 {
                ready <- n
                let value: Int = select {
                    Default { -1 }
                    Receive(ready) { $0! }
                }
                #expect(value == n)
                let sent: Bool = select {
                    Send(n, to: ready) { true }
                    Default { false }
                }
                #expect(sent)
                ready.receive()
            }
        }
    }

    @Test func aSelectOfOnlyDefaultRunsIt() {
        onThread { #expect(select { Default { 3 } } == 3) }
    }

    @Test func afterFiresWhenNothingElseDoes() {
        inGoroutine {
            let idle = Channel<Int>()
            let start = ContinuousClock.now
            let chosen: String = select {
                Receive(idle) { _ in "receive" }
                After(.milliseconds(30)) { "after" }
            }
            #expect(chosen == "after")
            #expect(ContinuousClock.now - start >= .milliseconds(30))
        }
    }

    @Test func afterFiresOnAThread() {
        onThread {
            let idle = Channel<Int>()
            let start = ContinuousClock.now
            let chosen: String = select {
                After(.milliseconds(30)) { "after" }
                Receive(idle) { _ in "receive" }
            }
            #expect(chosen == "after")
            #expect(ContinuousClock.now - start >= .milliseconds(30))
        }
    }

    @Test func afterYieldsToWhatIsReady() {
        inGoroutine {
            let ready = Channel<Int>(capacity: 1)
            for n in 0..<200 {
                ready <- n
                let value: Int = select {
                    After(.seconds(3_600)) { -1 }
                    Receive(ready) { $0! }
                }
                #expect(value == n)
            }
        }
    }

    @Test func theEarlierAfterFires() {
        inGoroutine {
            let chosen: String = select {
                After(.seconds(3_600)) { "hour" }
                After(.milliseconds(5)) { "soon" }
                After(.seconds(600)) { "minutes" }
            }
            #expect(chosen == "soon")
        }
    }

    @Test func afterOfNoTimeFires() {
        inGoroutine {
            let idle = Channel<Int>()
            for duration in [Duration.zero, .nanoseconds(1), .seconds(-5)] {
                let chosen: String = select {
                    Receive(idle) { _ in "receive" }
                    After(duration) { "after" }
                }
                #expect(chosen == "after")
            }
        }
    }

    @Test func abandonedAftersDoNotDisturbLaterSelects() {
        inGoroutine {
            let channel = Channel<Int>()
            go { for n in 0..<2_000 { channel <- n } }
            var wrong = 0
            for n in 0..<2_000 {
                // Some of these expire while the partner is on its way, and the value must then still come.
                var value: Int?
                while value == nil {
                    value = select {
                        Receive(channel) { $0 }
                        After(.microseconds(n % 5 * 20)) { Int?.none }
                    }
                }
                if value != n { wrong += 1 }
            }
            #expect(wrong == 0)
        }
    }

    @Test func afterBesideNilChannelsIsASleep() {
        inGoroutine {
            let none: Channel<Int>? = nil
            let start = ContinuousClock.now
            select {
                Receive(none) { _ in }
                After(.milliseconds(10)) {}
            }
            #expect(ContinuousClock.now - start >= .milliseconds(10))
        }
    }
}
