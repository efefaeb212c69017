import CSP
import CSPTesting
import Testing

/// Our own types in every order that `explore` tries: nothing lost, nobody left waiting.
@Suite struct OwnTypesTests {
    @Test(arguments: [0, 1, 2]) func channelsLoseNothing(capacity: Int) {
        explore {
            let numbers = Channel<Int>(capacity: capacity), sums = Channel<Int>(capacity: 2), senders = WaitGroup()
            for n in 1...3 { senders.go { numbers <- n } }
            for _ in 0..<2 { go { sums <- numbers.reduce(0, +) } }
            senders.wait()
            numbers.close()
            Exploration.expect(sums.receive()! + sums.receive()! == 6)
        }
    }

    @Test func aSelectTakesOneCase() {
        explore {
            let a = Channel<Int>(), b = Channel<Int>(capacity: 1), taken = SharedAtomic(0), all = WaitGroup()
            for _ in 0..<2 {
                all.go {
                    select {
                        Receive(a) { taken.add($0!) }
                        Receive(b) { taken.add($0!) }
                        Send(10, to: a) {}
                        After(.seconds(1)) {}
                    }
                }
            }
            all.go {
                select {
                    Send(1, to: a) { taken.add(-1) }
                    Send(2, to: b) {
                        taken.add(-2)
                        if case .value(let left) = b.tryReceive() { taken.add(left) }
                    }
                }
            }
            all.wait()
            // Two of the first kind may have met: 10 was taken then. What is in the buffer was taken by nobody.
            if case .value(let left) = b.tryReceive() { taken.add(left) }
            Exploration.expect(taken.load() == 0 || taken.load() == 10, "\(taken.load())")
        }
    }

    @Test func mutexesExclude() {
        explore {
            let lock = Mutex(), all = WaitGroup(), inside = SharedAtomic(0)
            for n in 0..<3 {
                all.go {
                    for _ in 0..<2 {
                        if n == 0 { while !lock.tryLock() { Goroutine.yield() } } else { lock.lock() }
                        Exploration.expect(inside.add(1) == 1)
                        inside.add(-1)
                        lock.unlock()
                    }
                }
            }
            all.go {
                select {
                    Acquire(lock) { _ in Exploration.expect(inside.load() == 0) }
                    After(.milliseconds(1)) {}
                }
            }
            all.wait()
        }
    }

    @Test func readersExcludeWriters() {
        explore {
            let lock = RWMutex(0), all = WaitGroup(), readers = SharedAtomic(0)
            for _ in 0..<3 {
                all.go {
                    lock.withReadLock { _ in
                        readers.add(1)
                        Goroutine.yield()
                        readers.add(-1)
                    }
                }
            }
            for _ in 0..<2 {
                all.go {
                    lock.withWriteLock {
                        Exploration.expect(readers.load() == 0)
                        $0 += 1
                        Exploration.expect(readers.load() == 0)
                    }
                }
            }
            all.wait()
            Exploration.expect(lock.withReadLock { $0 } == 2)
        }
    }

    @Test func semaphoresServeEverybody() {
        explore {
            let slots = Semaphore(2), all = WaitGroup(), used = SharedAtomic(0)
            for count in [1, 2, 1, 1] {
                all.go {
                    if count == 2 {
                        slots.acquire(2)
                    } else if (try? slots.acquire(1, in: .background)) == nil {
                        return
                    }
                    Exploration.expect(used.add(count) <= 2)
                    used.add(-count)
                    slots.release(count)
                }
            }
            all.wait()
            Exploration.expect(slots.tryAcquire(2))
        }
    }

    @Test func conditionsLoseNoSignal() {
        explore {
            let queue = Mutex<[Int]>([]), isFilled = Condition(queue), all = WaitGroup(), sum = SharedAtomic(0)
            for _ in 0..<2 {
                all.go { sum.add(isFilled.wait(until: { !$0.isEmpty }) { $0.removeFirst() }) }
            }
            for n in 1...2 {
                all.go {
                    queue.withLock { $0.append(n) }
                    isFilled.signal()
                }
            }
            all.wait()
            Exploration.expect(sum.load() == 3)
        }
    }

    @Test func onceMeansOnce() {
        explore {
            let once = Once(), count = SharedAtomic(0), all = WaitGroup()
            for _ in 0..<3 {
                all.go {
                    once.run { count.add(1) }
                    Exploration.expect(count.load() == 1)
                }
            }
            all.wait()
        }
    }

    @Test func contextsTellEverybody() {
        explore {
            let (context, cancel) = Context.background.withTimeout(.seconds(1))
            let (child, cancelChild) = context.withCancel()
            let all = WaitGroup(), ran = Channel<Never>()
            _ = child.afterDone { ran.close() }
            all.go { context.done.receive() }
            all.go {
                child.done.receive()
                Exploration.expect(child.error != nil)
            }
            all.go { cancelChild() }
            all.go { cancel() }
            all.wait()
            ran.receive()
            Exploration.expect(context.error != nil)
        }
    }

    @Test func errorGroupsEnd() {
        struct Wrong: Error {}
        explore(iterations: 500) {
            let (group, context) = ErrorGroup.withContext(.background, limit: 2)
            for n in 0..<3 {
                group.go {
                    if n == 1 { throw Wrong() }
                    try Time.sleep(for: .seconds(1), in: context)
                }
            }
            do {
                try group.wait()
                Exploration.expect(false, "nothing thrown")
            } catch {
                // The one that throws may come after sleepers that were over.
                Exploration.expect(error is Wrong)
            }
        }
    }

    @Test func mapsKeepWhatWasStored() {
        explore(iterations: 300) {
            let map = ConcurrentMap<Int, Int>(), all = WaitGroup(), stored = SharedAtomic(0)
            for n in 1...3 {
                all.go {
                    if !map.loadOrStore(0, n).loaded { stored.add(n) }
                    map.update(1) { $0 = ($0 ?? 0) + n }
                }
            }
            all.wait()
            Exploration.expect(map[0] == stored.load() && map[1] == 6)
        }
    }
}
