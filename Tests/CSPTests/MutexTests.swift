import CSP
import Testing

@Suite struct MutexTests {
    @Test func oneAtATimeFromGoroutinesAndThreads() {
        let counter = CSP.Mutex(0), all = WaitGroup()
        all.add(20)
        for n in 0..<20 {
            let count: @Sendable () -> Void = {
                for _ in 0..<1000 { counter.withLock { $0 += 1 } }
                all.done()
            }
            if n % 4 == 0 { startThread(count) } else { go { count() } }
        }
        all.wait()
        #expect(counter.withLock { $0 } == 20_000)
    }

    @Test func parkingWithTheLockHeldIsFine() {
        inGoroutine {
            let value = CSP.Mutex([0]), handover = Channel<Int>(), all = WaitGroup()
            for _ in 0..<10 { all.go { value.withLock { $0.append((<-handover)!) } } }
            for n in 1...10 { handover <- n }
            all.wait()
            #expect(value.withLock { $0 } == Array(0...10))
        }
    }

    @Test func throwingUnlocks() {
        inGoroutine {
            let mutex = CSP.Mutex(1)
            #expect(throws: Oops.self) { try mutex.withLock { _ throws(Oops) in throw Oops() } }
            #expect(throws: Oops.self) { try mutex.withLockIfAvailable { _ throws(Oops) in throw Oops() } }
            #expect(mutex.withLockIfAvailable { $0 } == 1)
        }
    }

    @Test func itMayBeUnlockedByAnotherGoroutineOrThread() {
        inGoroutine {
            let mutex = CSP.Mutex(), isLocked = Channel<Void>()
            go {
                mutex.lock()
                isLocked <- ()
            }
            <-isLocked
            mutex.unlock()
            mutex.lock()
            startThread { mutex.unlock() }
            mutex.lock()
            mutex.unlock()
        }
    }

    @Test func tryingNeverWaits() {
        inGoroutine {
            let mutex = CSP.Mutex()
            #expect(mutex.tryLock())
            #expect(!mutex.tryLock())
            mutex.unlock()
            #expect(mutex.tryLock())
            mutex.unlock()
            let value = CSP.Mutex(1)
            value.withLock { _ in #expect(value.withLockIfAvailable { $0 } == nil) }
        }
    }

    @Test func aWaiterIsNotStarvedByOneThatLocksAgainAndAgain() {
        inGoroutine {
            // Whoever holds it nearly always is on another P, or gives way while it holds it: only hand-over lets others in.
            let mutex = CSP.Mutex(), isOver = SharedAtomic(0), all = WaitGroup()
            for _ in 0..<4 {
                all.go {
                    while isOver.load() == 0 {
                        mutex.lock()
                        Time.sleep(for: .microseconds(200))
                        mutex.unlock()
                    }
                }
            }
            for _ in 0..<20 {
                mutex.lock()
                Goroutine.yield()
                mutex.unlock()
            }
            isOver.store(1)
            all.wait()
        }
    }

    @Test func oneThatHasWaitedForLongIsServedBeforeNewcomers() {
        inGoroutine {
            let mutex = CSP.Mutex(), order = Channel<String>(capacity: 2)
            mutex.lock()
            go("starved") {
                mutex.lock()
                order <- "waiter"
                mutex.unlock()
            }
            #expect(eventually { isParked("starved", for: "sync.Mutex.Lock") })
            // Ten times what it takes to starve.
            Time.sleep(for: .milliseconds(10))
            mutex.unlock()
            // Free for nobody at any moment: it has been handed over.
            mutex.lock()
            order <- "newcomer"
            mutex.unlock()
            #expect((<-order) == "waiter")
        }
    }

    @Test func noncopyableValuesGoInAndOut() {
        inGoroutine {
            let ledger = Ledger(2)
            do {
                let slot = CSP.Mutex(ledger.token(0))
                let id = slot.withLock { value in
                    let old = value.id
                    value = ledger.token(1)
                    return old
                }
                #expect(id == 0)
                #expect(ledger.counts == [1, 0])
            }
            #expect(ledger.allReleasedOnce)
        }
    }

    @Test func valuesOfAnyAlignmentAreInPlace() {
        let wide = CSP.Mutex(SIMD8<Double>(repeating: 1)), narrow = CSP.Mutex(UInt8(7)), none = CSP.Mutex(())
        wide.withLock { $0 += 1 }
        narrow.withLock { $0 += 1 }
        none.withLock { $0 = () }
        #expect(wide.withLock { $0 } == SIMD8(repeating: 2))
        #expect(narrow.withLock { $0 } == 8)
        let shared = RWMutex(SIMD8<Double>(repeating: 1))
        shared.withWriteLock { $0 += 1 }
        #expect(shared.withReadLock { $0 } == SIMD8(repeating: 2))
    }
}

struct Oops: Error {}
