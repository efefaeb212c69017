import CSP
import Testing

@Suite struct OnceTests {
    @Test func everybodyWaitsForTheOneThatRuns() {
        inGoroutine {
            let once = Once(), runs = SharedAtomic(0), isDone = SharedAtomic(0), all = WaitGroup()
            all.add(10)
            for n in 0..<10 {
                let call: @Sendable () -> Void = {
                    once.run {
                        runs.add(1)
                        Time.sleep(for: .milliseconds(5))
                        isDone.store(1)
                    }
                    #expect(isDone.load() == 1)
                    all.done()
                }
                if n % 2 == 0 { startThread(call) } else { go { call() } }
            }
            all.wait()
            #expect(runs.load() == 1)
        }
    }

    @Test func anotherBodyDoesNotRun() {
        let once = Once()
        var log = ""
        once.run { log += "first" }
        once.run { log += "second" }
        #expect(log == "first")
    }

    @Test func oneOnceMayRunWithinAnother() {
        inGoroutine {
            let outer = Once(), inner = Once()
            var log = ""
            outer.run { inner.run { log += "inner" } }
            #expect(log == "inner")
        }
    }

    @Test func aValueIsComputedOnceAndReleasesItsComputation() {
        inGoroutine {
            let ledger = Ledger(2), runs = SharedAtomic(0)
            do {
                let held = Box(ledger.token(0))
                let value = OnceValue { [held] in
                    _ = held
                    runs.add(1)
                    return Box(ledger.token(1))
                }
                let all = WaitGroup()
                for _ in 0..<10 { all.go { #expect(value.value.token.id == 1) } }
                all.wait()
                #expect(runs.load() == 1)
            }
            #expect(ledger.allReleasedOnce)
        }
    }

    @Test func aValueThatNobodyAskedForIsNeverComputed() {
        let ledger = Ledger(1)
        do {
            let held = Box(ledger.token(0))
            let value = OnceValue { held.token.id }
            _ = value
        }
        #expect(ledger.allReleasedOnce)
    }

    private final class Box: Sendable {
        let token: Token
        init(_ token: consuming sending Token) { self.token = token }
    }
}
