import CSP
import Testing

@Suite struct ConditionTests {
    @Test func aTruePredicateNeedsNoSignal() {
        let mutex = CSP.Mutex(1), condition = Condition(mutex)
        #expect(condition.wait(until: { $0 == 1 }) { value in value } == 1)
        inGoroutine { #expect(condition.wait(until: { $0 == 1 }) { value in value } == 1) }
    }

    @Test func signalWakesTheLongestWaiterFirst() {
        inGoroutine {
            let turn = CSP.Mutex(0), changed = Condition(turn), order = Channel<Int>(capacity: 10)
            for n in 0..<5 {
                go("in line \(n)") {
                    changed.wait(until: { $0 > 0 }) { value in
                        value -= 1
                        order <- n
                    }
                }
                #expect(eventually { isParked("in line \(n)", for: "sync.Cond.Wait") })
            }
            for n in 0..<5 {
                turn.withLock { $0 += 1 }
                changed.signal()
                #expect((<-order) == n)
            }
        }
    }

    @Test func broadcastWakesAllOfEachKind() {
        let isOpen = CSP.Mutex(false), opened = Condition(isOpen), all = WaitGroup()
        all.add(20)
        for n in 0..<20 {
            let wait: @Sendable () -> Void = {
                opened.wait(until: { $0 }) { _ in }
                all.done()
            }
            if n % 2 == 0 { startThread(wait) } else { go { wait() } }
        }
        settle()
        isOpen.withLock { $0 = true }
        opened.broadcast()
        all.wait()
    }

    @Test func aSignalWithNobodyWaitingIsNotKept() {
        inGoroutine {
            let value = CSP.Mutex(0), changed = Condition(value), done = Channel<Never>()
            changed.signal()
            changed.broadcast()
            let looks = SharedAtomic(0), outcome = Channel<Bool>()
            go("waits for a signal") {
                let waited: Void? = changed.wait(
                    unless: done.receiver,
                    until: { _ in
                        looks.add(1)
                        return false
                    }, then: { _ in })
                outcome <- (waited == nil)
            }
            #expect(eventually { isParked("waits for a signal", for: "select") })
            settle()
            #expect(looks.load() == 1)
            done.close()
            #expect((<-outcome) == true)
        }
    }

    @Test func theLockIsFreeWhileItWaitsAndHeldWhenItGoesOn() {
        inGoroutine {
            let value = CSP.Mutex(0), changed = Condition(value), seen = Channel<Bool>()
            go("looks at the lock") {
                changed.wait(until: { $0 == 1 }) { _ in seen <- (value.withLockIfAvailable { _ in true } == nil) }
            }
            #expect(eventually { isParked("looks at the lock", for: "sync.Cond.Wait") })
            value.withLock { $0 = 1 }
            changed.signal()
            #expect((<-seen) == true)
        }
    }

    @Test func aSignalUnderTheLockIsFine() {
        inGoroutine {
            let value = CSP.Mutex(0), changed = Condition(value), all = WaitGroup()
            all.go { changed.wait(until: { $0 == 1 }) { value in value = 2 } }
            settle()
            value.withLock {
                $0 = 1
                changed.signal()
            }
            all.wait()
            #expect(value.withLock { $0 } == 2)
        }
    }

    @Test func aWaitEndsWhenItsContextDoes() {
        let value = CSP.Mutex(0), changed = Condition(value)
        let check: @Sendable () -> Void = {
            let done = Channel<Never>(), all = WaitGroup()
            all.go {
                settle()
                done.close()
            }
            let waited: Void? = changed.wait(unless: done.receiver, until: { $0 == 1 }, then: { _ in })
            #expect(waited == nil)
            all.wait()
            // Done before: a predicate that is true still wins, a false one gives up at once.
            #expect(changed.wait(unless: done.receiver, until: { $0 == 1 }, then: { _ in true }) == nil)
            #expect(changed.wait(unless: done.receiver, until: { $0 == 0 }, then: { _ in true }) == true)
            // Nothing is left locked or queued.
            #expect(value.withLockIfAvailable { $0 } == 0)
            changed.signal()
        }
        inGoroutine { check() }
        onThread(check)
    }

    @Test func oneThatGivesUpTakesNoSignalAlong() {
        // One signal for two who wait; the first gives up at the same time. Somebody must go on.
        for _ in 0..<200 {
            inGoroutine {
                let value = CSP.Mutex(0), changed = Condition(value), done = Channel<Never>(),
                    served = Channel<Int>(capacity: 2)
                let all = WaitGroup()
                all.go {
                    let first: Void? = changed.wait(
                        unless: done.receiver, until: { $0 > 0 }, then: { value in value -= 1 })
                    if first != nil { served <- 1 }
                }
                go {
                    changed.wait(until: { $0 > 0 }) { value in value -= 1 }
                    served <- 2
                }
                Goroutine.yield()
                all.go { done.close() }
                value.withLock { $0 = 1 }
                changed.signal()
                let winner = (<-served)!
                all.wait()
                // The other one, if it still waits.
                if winner == 1 {
                    value.withLock { $0 = 1 }
                    changed.signal()
                    #expect((<-served) == 2)
                }
            }
        }
    }
}
