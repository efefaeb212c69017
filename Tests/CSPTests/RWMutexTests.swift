import CSP
import Testing

@Suite struct RWMutexTests {
    @Test func readersAreInsideTogether() {
        inGoroutine {
            let value = RWMutex(1), meeting = Channel<Int>()
            // Each needs the other while it is inside.
            go { value.withReadLock { meeting <- $0 } }
            let met = value.withReadLock { $0 + (<-meeting)! }
            #expect(met == 2)
            value.withWriteLock { $0 = 3 }
            #expect(value.withReadLock { $0 } == 3)
        }
    }

    @Test func aWriterIsAlone() {
        inGoroutine {
            let value = RWMutex(0), all = WaitGroup()
            for n in 0..<20 {
                all.go {
                    for _ in 0..<500 {
                        if n % 4 == 0 {
                            value.withWriteLock {
                                $0 += 1
                                if $0 % 16 == 1 { Goroutine.yield() }
                                $0 += 1
                            }
                        } else {
                            #expect(value.withReadLock { $0 } % 2 == 0)
                        }
                    }
                }
            }
            all.wait()
            #expect(value.withReadLock { $0 } == 5000)
        }
    }

    @Test(arguments: [false, true]) func aWaitingWriterHoldsBackNewReaders(_ isBiased: Bool) {
        inGoroutine {
            let value = RWMutex(0)
            if isBiased { makeContended(value) }
            let leave = Channel<Void>(), isInside = Channel<Void>(), order = Channel<String>(capacity: 4),
                all = WaitGroup()
            all.go {
                value.withReadLock { _ in
                    isInside <- ()
                    <-leave
                }
            }
            <-isInside
            all.go { value.withWriteLock { _ in order <- "writer" } }
            // It waits as soon as a reader is refused.
            #expect(eventually { value.withReadLockIfAvailable { _ in () } == nil })
            all.go { value.withReadLock { _ in order <- "reader" } }
            settle()
            #expect(order.count == 0)
            leave <- ()
            all.wait()
            #expect((<-order) == "writer")
            #expect((<-order) == "reader")
        }
    }

    @Test func queuedReadersGoBeforeTheNextWriter() {
        inGoroutine {
            let value = RWMutex(()), order = Channel<String>(capacity: 8), all = WaitGroup()
            value.withWriteLock { _ in
                all.go("queued reader") { value.withReadLock { _ in order <- "reader" } }
                #expect(eventually { isParked("queued reader", for: "sync.RWMutex.RLock") })
                all.go("queued writer") { value.withWriteLock { _ in order <- "writer" } }
                #expect(eventually { isParked("queued writer", for: "sync.RWMutex.Lock") })
            }
            all.wait()
            #expect((<-order) == "reader")
            #expect((<-order) == "writer")
        }
    }

    @Test func tryingNeverWaits() {
        inGoroutine {
            let value = RWMutex(1)
            value.withReadLock { _ in
                #expect(value.withReadLockIfAvailable { $0 } == 1)
                #expect(value.withWriteLockIfAvailable { $0 } == nil)
                // The one who has tried holds nobody back.
                #expect(value.withReadLockIfAvailable { $0 } == 1)
            }
            value.withWriteLock { _ in
                #expect(value.withReadLockIfAvailable { $0 } == nil)
                #expect(value.withWriteLockIfAvailable { $0 } == nil)
            }
            #expect(value.withWriteLockIfAvailable { $0 } == 1)
            makeContended(value)
            value.withReadLock { _ in #expect(value.withWriteLockIfAvailable { $0 } == nil) }
            #expect(value.withWriteLockIfAvailable { $0 } == 1)
        }
    }

    @Test func throwingUnlocks() {
        inGoroutine {
            let value = RWMutex(1)
            #expect(throws: Oops.self) { try value.withReadLock { _ throws(Oops) in throw Oops() } }
            #expect(throws: Oops.self) { try value.withWriteLock { _ throws(Oops) in throw Oops() } }
            #expect(throws: Oops.self) { try value.withReadLockIfAvailable { _ throws(Oops) in throw Oops() } }
            #expect(throws: Oops.self) { try value.withWriteLockIfAvailable { _ throws(Oops) in throw Oops() } }
            #expect(value.withWriteLockIfAvailable { $0 } == 1)
        }
    }

    @Test func aReaderMayLeaveOnAnotherThreadThanItCameOn() {
        let old = Scheduler.maxProcs
        defer { Scheduler.maxProcs = old }
        inGoroutine {
            let value = RWMutex(0)
            makeContended(value)
            let all = WaitGroup()
            for n in 0..<8 {
                all.go {
                    for _ in 0..<100 {
                        if n == 0 {
                            Time.sleep(for: .microseconds(100))
                            value.withWriteLock { $0 += 1 }
                        } else {
                            value.withReadLock { _ in Time.sleep(for: .microseconds(20)) }
                        }
                    }
                }
            }
            all.wait()
            #expect(value.withReadLock { $0 } == 100)
        }
    }

    /// Readers meet until they count themselves apart, or at least try to.
    private func makeContended<Value>(_ value: RWMutex<Value>) {
        let all = WaitGroup()
        for _ in 0..<4 { all.go { for _ in 0..<20_000 { value.withReadLock { _ in } } } }
        all.wait()
    }
}

/// Whether the goroutine of this name waits for this.
func isParked(_ name: String, for reason: String) -> Bool { Dump.isParked(name, for: reason) }
