import CSP
import Testing

@Suite struct SelectLockTests {
    @Test func aFreeMutexIsAcquiredAtOnce() {
        inGoroutine {
            let value = CSP.Mutex(1)
            let seen = select {
                Acquire(value) { value in
                    value += 1
                    return value
                }
            }
            #expect(seen == 2)
            #expect(value.withLockIfAvailable { $0 } == 2)
        }
    }

    @Test func theLockIsHeldInsideTheBodyAndFreeAfterIt() {
        inGoroutine {
            let value = CSP.Mutex(1), slots = Semaphore(1)
            select { Acquire(value) { _ in #expect(value.withLockIfAvailable { _ in true } == nil) } }
            #expect(value.withLockIfAvailable { _ in true } == true)
            select { Acquire(slots) { #expect(!slots.tryAcquire()) } }
            #expect(slots.tryAcquire())
        }
    }

    @Test func throwingUnlocks() {
        inGoroutine {
            let value = CSP.Mutex(1), slots = Semaphore(3)
            #expect(throws: Oops.self) { try select { Acquire(value) { _ throws(Oops) in throw Oops() } } }
            #expect(throws: Oops.self) { try select { Acquire(slots, 2) { () throws(Oops) in throw Oops() } } }
            #expect(value.withLockIfAvailable { _ in true } == true)
            #expect(slots.tryAcquire(3))
        }
    }

    @Test func keepingLeavesItLocked() {
        inGoroutine {
            let mutex = CSP.Mutex(), slots = Semaphore(3)
            select { Acquire(keeping: mutex) {} }
            #expect(!mutex.tryLock())
            mutex.unlock()
            select { Acquire(keeping: slots, 2) {} }
            #expect(!slots.tryAcquire(2))
            slots.release(2)
            #expect(slots.tryAcquire(3))
        }
    }

    @Test func itWaitsForAMutexThatIsTaken() {
        let check: @Sendable () -> Void = {
            let value = CSP.Mutex(0), never = Channel<Int>(), isLocked = Channel<Void>()
            go {
                value.withLock {
                    isLocked <- ()
                    settle()
                    $0 = 1
                }
            }
            <-isLocked
            let seen = select {
                Receive(never) { $0! }
                Acquire(value) { $0 }
            }
            #expect(seen == 1)
            #expect(value.withLockIfAvailable { _ in true } == true)
        }
        inGoroutine { check() }
        onThread(check)
    }

    @Test func itWaitsForASemaphoreInItsTurn() {
        inGoroutine {
            let slots = Semaphore(2), never = Channel<Int>(), order = Channel<Int>(capacity: 2)
            slots.acquire(2)
            go {
                select {
                    Receive(never) { _ in }
                    Acquire(slots, 2) { order <- 2 }
                }
            }
            settle()
            go {
                slots.acquire()
                order <- 1
            }
            settle()
            slots.release()
            settle()
            #expect(order.count == 0)
            slots.release()
            #expect((<-order) == 2)
            #expect((<-order) == 1)
        }
    }

    @Test func aLostCaseHasAcquiredNothing() {
        let check: @Sendable () -> Void = {
            let value = CSP.Mutex(0), slots = Semaphore(1), channel = Channel<Int>(), isLocked = Channel<Void>()
            go {
                slots.acquire()
                value.withLock { _ in
                    isLocked <- ()
                    settle()
                    channel <- 1
                }
                slots.release()
                isLocked <- ()
            }
            <-isLocked
            let seen = select {
                Acquire(value) { _ in 0 }
                Receive(channel) { $0! }
                Acquire(slots) { 0 }
            }
            #expect(seen == 1)
            <-isLocked
            #expect(value.withLockIfAvailable { _ in true } == true)
            #expect(slots.tryAcquire())
        }
        inGoroutine { check() }
        onThread(check)
    }

    @Test func oneThatGivesUpHoldsUpNobodyBehindIt() {
        inGoroutine {
            let value = CSP.Mutex(0), slots = Semaphore(2), quit = Channel<Never>(), all = WaitGroup()
            slots.acquire()
            value.withLock { _ in
                all.go {
                    select {
                        Acquire(value) { _ in Issue.record("acquired") }
                        Acquire(slots, 2) { Issue.record("acquired") }
                        Receive(quit) { _ in }
                    }
                }
                settle()
                all.go { slots.acquire() }
                all.go { value.withLock { $0 += 1 } }
                settle()
                quit.close()
                settle()
            }
            all.wait()
            #expect(value.withLock { $0 } == 1)
        }
    }

    @Test func theDefaultRunsWhenNothingCanBeHad() {
        inGoroutine {
            let value = CSP.Mutex(0), slots = Semaphore(0), empty = Channel<Int>()
            value.withLock { _ in
                #expect(
                    select {
                        Acquire(value) { _ in 1 }
                        Default { 2 }
                    } == 2)
                #expect(
                    select {
                        Acquire(value) { _ in 1 }
                        Acquire(slots) { 1 }
                        Receive(empty) { _ in 1 }
                        Default { 2 }
                    } == 2)
            }
            #expect(
                select {
                    Acquire(value) { _ in 1 }
                    Acquire(slots) { 0 }
                    Receive(empty) { _ in 0 }
                    Default { 2 }
                } == 1)
        }
    }

    @Test func anAlarmEndsTheWait() {
        inGoroutine {
            let value = CSP.Mutex(0)
            value.withLock { _ in
                #expect(
                    select {
                        Acquire(value) { _ in 1 }
                        After(.milliseconds(5)) { 2 }
                    } == 2)
            }
            #expect(value.withLockIfAvailable { _ in true } == true)
        }
    }

    @Test func nilIsNeverReady() {
        inGoroutine {
            #expect(
                select {
                    Acquire(nil as CSP.Mutex<Int>?) { _ in 1 }
                    Acquire(nil as Semaphore?) { 1 }
                    Default { 2 }
                } == 2)
        }
    }

    @Test func theSameLockMayStandInSeveralCases() {
        inGoroutine {
            let value = CSP.Mutex(0), slots = Semaphore(3), never = Channel<Int>(), all = WaitGroup()
            slots.acquire(3)
            value.withLock { _ in
                all.go {
                    select {
                        Acquire(value) { $0 += 1 }
                        Receive(never) { _ in }
                        Acquire(value) { $0 += 1 }
                    }
                }
                all.go {
                    select {
                        Acquire(slots, 3) {}
                        Acquire(slots, 1) {}
                    }
                }
                settle()
            }
            slots.release(3)
            all.wait()
            #expect(value.withLock { $0 } == 1)
            #expect(slots.tryAcquire(3))
        }
    }

    @Test func casesOfAnArrayAcquireToo() {
        inGoroutine {
            let value = CSP.Mutex(0), slots = Semaphore(1), all = WaitGroup()
            for _ in 0..<10 {
                all.go {
                    for _ in 0..<50 {
                        select([
                            AnySelectCase(Acquire(value) { $0 += 1 }),
                            AnySelectCase(Acquire(slots) { value.withLock { $0 += 1 } }),
                        ])
                    }
                }
            }
            all.wait()
            #expect(value.withLock { $0 } == 500)
            #expect(slots.tryAcquire())
        }
    }

    @Test func itChoosesUniformlyAmongWhatIsReady() {
        inGoroutine {
            let value = CSP.Mutex(0), slots = Semaphore(1), full = Channel<Int>(capacity: 1)
            full <- 1
            var counts = [0, 0, 0]
            for _ in 0..<3000 {
                let chosen = select {
                    Acquire(value) { _ in 0 }
                    Acquire(slots) { 1 }
                    Receive(full) { _ in 2 }
                }
                if chosen == 2 { full <- 1 }
                counts[chosen] += 1
            }
            // Each is expected 1000 times; the chance of fewer than 800 is below 1 in 10^14.
            #expect(counts.allSatisfy { $0 > 800 }, "\(counts)")
        }
    }
}

@Suite struct PrioritizedSelectTests {
    @Test func theFirstReadyCaseIsTaken() {
        inGoroutine {
            let first = Channel<Int>(capacity: 1), second = Channel<Int>(capacity: 1), value = CSP.Mutex(0)
            for _ in 0..<500 {
                _ = first.trySend(1)
                _ = second.trySend(2)
                #expect(
                    select(prioritized: true) {
                        Receive(first) { $0! }
                        Receive(second) { $0! }
                        Acquire(value) { _ in 3 }
                    } == 1)
                #expect(
                    select(prioritized: true) {
                        Receive(first) { $0! }
                        Receive(second) { $0! }
                        Acquire(value) { _ in 3 }
                    } == 2)
                #expect(
                    select(prioritized: true) {
                        Receive(first) { $0! }
                        Acquire(value) { _ in 3 }
                        Send(1, to: second) { 4 }
                    } == 3)
            }
        }
    }

    @Test func withoutItTheChoiceIsUniform() {
        inGoroutine {
            let first = Channel<Int>(capacity: 1), second = Channel<Int>(capacity: 1)
            var counts = [0, 0]
            for _ in 0..<2000 {
                _ = first.trySend(0)
                _ = second.trySend(1)
                counts[
                    select(prioritized: false) {
                        Receive(first) { $0! }
                        Receive(second) { $0! }
                    }] += 1
            }
            #expect(counts.allSatisfy { $0 > 800 }, "\(counts)")
        }
    }

    @Test func theDefaultComesLastWhereverItStands() {
        inGoroutine {
            let full = Channel<Int>(capacity: 1), empty = Channel<Int>()
            full <- 1
            #expect(
                select(prioritized: true) {
                    Default { 0 }
                    Receive(empty) { $0! }
                    Receive(full) { $0! }
                } == 1)
            #expect(
                select(prioritized: true) {
                    Default { 0 }
                    Receive(empty) { $0! }
                    Receive(full) { $0! }
                } == 0)
        }
    }

    @Test func itWaitsAsTheOtherDoes() {
        let check: @Sendable () -> Void = {
            let first = Channel<Int>(), second = Channel<Int>()
            go {
                settle()
                second <- 2
            }
            #expect(
                select(prioritized: true) {
                    Receive(first) { $0! }
                    Receive(second) { $0! }
                } == 2)
        }
        inGoroutine { check() }
        onThread(check)
    }

    @Test func inAnArrayTheFirstIsTakenToo() {
        inGoroutine {
            let channels = (0..<100).map { _ in Channel<Int>(capacity: 1) }
            for start in [99, 50, 1, 0] {
                for n in start..<100 { _ = channels[n].trySend(n) }
                let cases = channels.map { AnySelectCase(Receive($0) { $0! }) }
                #expect(select(prioritized: true, cases) == start)
            }
        }
    }

    @Test func aClosedQuitComesBeforeWork() {
        inGoroutine {
            let quit = Channel<Never>(), work = Channel<Int>(capacity: 100)
            for n in 0..<100 { work <- n }
            quit.close()
            for _ in 0..<100 {
                #expect(
                    select(prioritized: true) {
                        Receive(quit) { _ in true }
                        Receive(work) { _ in false }
                    })
            }
            #expect(work.count == 100)
        }
    }

    @Test func theOrderHoldsWhileOthersSend() {
        inGoroutine {
            // Whoever sends fills the first before the second: a prioritized receive never finds the second without the first.
            let old = Scheduler.maxProcs
            Scheduler.maxProcs = max(2, old)
            defer { Scheduler.maxProcs = old }
            let first = Channel<Int>(capacity: 1), second = Channel<Int>(capacity: 1), all = WaitGroup()
            all.go {
                for n in 0..<20_000 {
                    first <- n
                    second <- n
                }
            }
            for n in 0..<20_000 {
                #expect(
                    select(prioritized: true) {
                        Receive(first) { $0! }
                        Receive(second) { _ in -1 }
                    } == n)
                #expect((<-second) == n)
            }
            all.wait()
        }
    }
}
