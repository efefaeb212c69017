import CSP
import Testing

@Suite struct SemaphoreTests {
    @Test func neverMoreThanThereIs() {
        inGoroutine {
            let slots = Semaphore(10), used = SharedAtomic(0), all = WaitGroup()
            for n in 0..<20 {
                all.go {
                    let count = n % 4 + 1
                    for _ in 0..<100 {
                        slots.acquire(count)
                        #expect(used.add(count) <= 10)
                        if n % 3 == 0 { Goroutine.yield() }
                        used.add(-count)
                        slots.release(count)
                    }
                }
            }
            all.wait()
            #expect(slots.tryAcquire(10))
        }
    }

    @Test func tryingNeverWaits() {
        let slots = Semaphore(2)
        #expect(slots.tryAcquire(2))
        #expect(!slots.tryAcquire())
        #expect(slots.tryAcquire(0))
        slots.release()
        #expect(!slots.tryAcquire(2))
        #expect(slots.tryAcquire())
        #expect(!slots.tryAcquire(3))
    }

    @Test func aLargeRequestIsNotPassedByASmallOne() {
        inGoroutine {
            let slots = Semaphore(3), order = Channel<Int>(capacity: 4)
            slots.acquire(2)
            go("wants three") {
                slots.acquire(3)
                order <- 3
                slots.release(3)
            }
            #expect(eventually { isParked("wants three", for: "semacquire") })
            // One is free, but somebody waits.
            #expect(!slots.tryAcquire())
            #expect(!slots.tryAcquire(0))
            go {
                slots.acquire()
                order <- 1
            }
            settle()
            #expect(order.count == 0)
            slots.release()
            settle()
            #expect(order.count == 0)
            slots.release()
            #expect((<-order) == 3)
            #expect((<-order) == 1)
        }
    }

    @Test func oneReleaseServesAllThatItIsEnoughFor() {
        let slots = Semaphore(4), all = WaitGroup()
        inGoroutine { slots.acquire(4) }
        all.add(4)
        for n in 0..<4 {
            let acquire: @Sendable () -> Void = {
                slots.acquire()
                all.done()
            }
            if n % 2 == 0 { startThread(acquire) } else { go { acquire() } }
        }
        settle()
        slots.release(4)
        all.wait()
    }

    @Test func moreThanThereIsHoldsUpNobody() {
        inGoroutine {
            let slots = Semaphore(2), done = Channel<Never>(), outcome = Channel<Bool>()
            go { outcome <- slots.acquire(3, unless: done.receiver) }
            settle()
            slots.acquire(2)
            slots.release(2)
            done.close()
            #expect((<-outcome) == false)
        }
    }

    @Test func acquisitionEndsWhenItsContextDoes() {
        let check: @Sendable () -> Void = {
            let slots = Semaphore(2), done = Channel<Never>(), all = WaitGroup()
            #expect(slots.acquire(2, unless: done.receiver))
            all.go {
                settle()
                done.close()
            }
            #expect(!slots.acquire(1, unless: done.receiver))
            all.wait()
            slots.release(2)
            // Done already: nothing is acquired, though all is free.
            #expect(!slots.acquire(1, unless: done.receiver))
            #expect(slots.tryAcquire(2))
        }
        inGoroutine { check() }
        onThread(check)
    }

    @Test func oneThatGivesUpLetsTheOnesBehindItGoOn() {
        inGoroutine {
            let slots = Semaphore(2), done = Channel<Never>(), outcome = Channel<Bool>(), all = WaitGroup()
            slots.acquire()
            go { outcome <- slots.acquire(2, unless: done.receiver) }
            settle()
            all.go { slots.acquire() }
            settle()
            done.close()
            #expect((<-outcome) == false)
            all.wait()
            #expect(!slots.tryAcquire())
        }
    }
}
