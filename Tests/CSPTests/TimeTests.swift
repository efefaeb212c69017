import CSP
import Testing

@Suite struct TimeTests {
    /// Never too early; how late it is depends on the machine.
    @Test func sleepTakesAtLeastItsDuration() {
        let sleeps: @Sendable () -> Void = {
            let start = ContinuousClock.now
            Time.sleep(for: .milliseconds(20))
            #expect(ContinuousClock.now - start >= .milliseconds(20))
            let instant = ContinuousClock.now + .milliseconds(20)
            Time.sleep(until: instant)
            #expect(ContinuousClock.now >= instant)
            Time.sleep(for: .zero)
            Time.sleep(for: .seconds(-1))
            Time.sleep(until: start)
        }
        inGoroutine { sleeps() }
        onThread(sleeps)
    }

    @Test func sleepersWakeInTheOrderOfTheirDeadlines() {
        inGoroutine {
            let order = Channel<Int>(capacity: 5)
            for n in [3, 1, 5, 2, 4] {
                go {
                    Time.sleep(for: .milliseconds(100 * n))
                    order <- n
                }
            }
            for n in 1...5 { #expect((<-order) == n) }
        }
    }

    @Test func afterSendsTheTimeOnce() {
        inGoroutine {
            let start = ContinuousClock.now
            let channel = Time.after(.milliseconds(10))
            #expect((<-channel)! - start >= .milliseconds(10))
            settle()
            guard case .empty = channel.tryReceive() else {
                Issue.record("a second value")
                return
            }
        }
    }

    @Test func aStoppedTimerSendsNothing() {
        inGoroutine {
            let timer = Time.Timer(.milliseconds(5))
            #expect(timer.stop())
            #expect(!timer.stop())
            settle()
            guard case .empty = timer.channel.tryReceive() else {
                Issue.record("a value after stop")
                return
            }
        }
    }

    /// Go 1.23: a value that nobody has received is taken back.
    @Test func stopAndResetTakeBackAnUnreceivedValue() {
        inGoroutine {
            let timer = Time.Timer(.milliseconds(1))
            settle()
            #expect(timer.stop())
            guard case .empty = timer.channel.tryReceive() else {
                Issue.record("a stale value")
                return
            }
            #expect(!timer.reset(.milliseconds(1)))
            settle()
            let start = ContinuousClock.now
            #expect(timer.reset(.milliseconds(10)))
            #expect((<-timer.channel)! - start >= .milliseconds(10))
        }
    }

    @Test func aTimerRunsItsFunctionOnce() {
        inGoroutine {
            let runs = Channel<Int>(capacity: 10)
            let timer = Time.Timer(.milliseconds(1)) { runs <- 1 }
            #expect((<-runs) == 1)
            #expect(!timer.stop())
            #expect(!timer.reset(.milliseconds(1)))
            #expect((<-runs) == 1)
            timer.reset(.seconds(1000))
            #expect(timer.stop())
        }
    }

    @Test func aForgottenTimerStillRunsItsFunction() {
        inGoroutine {
            let ran = Channel<Void>()
            _ = Time.Timer(.milliseconds(5)) { ran.send(()) }
            #expect(ran.receive() != nil)
        }
    }

    @Test func aTickerTicksAndDropsWhatNobodyTakes() {
        inGoroutine {
            let ticker = Time.Ticker(.milliseconds(2))
            var last = ContinuousClock.now
            for _ in 0..<5 {
                let tick = (<-ticker.channel)!
                #expect(tick >= last)
                last = tick
            }
            settle()
            // Many periods have passed, and one tick waits.
            #expect(ticker.channel.receive() != nil)
            ticker.stop()
            guard case .empty = ticker.channel.tryReceive() else {
                Issue.record("a tick after stop")
                return
            }
            ticker.reset(.milliseconds(1))
            #expect(ticker.channel.receive() != nil)
            ticker.stop()
        }
    }

    @Test func manyTimers() {
        inGoroutine {
            let fired = SharedAtomic(0)
            var timers: [Time.Timer] = []
            for n in 0..<100_000 {
                timers.append(Time.Timer(.seconds(1000 + (n * 7919) % 1000)) { fired.add(1) })
            }
            #expect(timers.allSatisfy { $0.stop() })
            #expect(fired.load() == 0)
        }
    }

    @Test func theLongestDurationsAreNoProblem() {
        inGoroutine {
            let timer = Time.Timer(.seconds(Int64.max))
            #expect(timer.stop())
            let chosen: Int = select {
                After(.seconds(Int64.max)) { 1 }
                After(.milliseconds(1)) { 2 }
            }
            #expect(chosen == 2)
        }
    }
}
