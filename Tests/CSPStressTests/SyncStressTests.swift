import CSP
import Foundation
import Testing

/// Each type of `Sync` and the selectable locks, from goroutines and plain threads at once. Serial: see `stress`.
@Suite(.serialized) struct SyncStressTests {
    @Test func mutex() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let pair = CSP.Mutex((0, 0)), unlocker = Channel<Void>(capacity: 4), bare = CSP.Mutex()
            let counted = SharedAtomic(0)
            go { for _ in unlocker { bare.unlock() } }
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<100 {
                    pair.withLock {
                        $0.0 += 1
                        maybeYield(&random)
                        $0.1 += 1
                        #expect($0.0 == $0.1)
                    }
                    if random.next() % 4 == 0 {
                        // Another goroutine unlocks.
                        if random.next() % 2 == 0 { bare.lock() } else if !bare.tryLock() { continue }
                        counted.add(1)
                        unlocker <- ()
                    }
                }
            }
            bare.lock()
            unlocker.close()
            #expect(pair.withLock { $0.0 } == 1600)
            #expect(counted.load() > 0)
        }
    }

    @Test func rwMutex() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let pair = RWMutex((0, 0)), written = SharedAtomic(0)
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<200 {
                    switch random.next() % 16 {
                    case 0:
                        pair.withWriteLock {
                            $0.0 += 1
                            maybeYield(&random)
                            $0.1 += 1
                        }
                        written.add(1)
                    case 1:
                        let tried: Void? = pair.withWriteLockIfAvailable {
                            $0.0 += 1
                            maybeYield(&random)
                            $0.1 += 1
                        }
                        if tried != nil { written.add(1) }
                    case 2:
                        pair.withReadLockIfAvailable {
                            maybeYield(&random)
                            #expect($0.0 == $0.1)
                        }
                    case 3:
                        pair.withReadLock {
                            let before = $0.0
                            Time.sleep(for: .microseconds(Int64(random.next() % 50)))
                            #expect($0.0 == before && $0.1 == before)
                        }
                    default: pair.withReadLock { #expect($0.0 == $0.1) }
                    }
                }
            }
            #expect(pair.withReadLock { $0.0 } == written.load())
        }
    }

    @Test func once() {
        stress(rounds: 20, stressedRounds: 100) { random in
            let onces = (0..<20).map { _ in Once() }, runs = (0..<20).map { _ in SharedAtomic(0) }
            let value = OnceValue { SharedAtomic(5) }
            everywhere(goroutines: 8, threads: 4, &random) { random in
                for n in 0..<20 {
                    onces[n].run {
                        maybeYield(&random)
                        runs[n].add(1)
                    }
                    #expect(runs[n].load() == 1)
                }
                #expect(value.value.load() == 5)
            }
        }
    }

    /// A bounded buffer: a lost signal hangs it.
    @Test func condition() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let buffer = CSP.Mutex<[Int]>([])
            let isFilled = Condition(buffer), isEmptied = Condition(buffer), sum = SharedAtomic(0)
            let useBroadcast = random.next() % 2 == 0, quit = Channel<Never>()
            everywhere(goroutines: 12, threads: 4, &random) { index, random in
                for n in 0..<100 {
                    if index % 2 == 0 {
                        isEmptied.wait(until: { $0.count < 3 }) { $0.append(n) }
                        if useBroadcast { isFilled.broadcast() } else { isFilled.signal() }
                    } else {
                        let value: Int?
                        if random.next() % 2 == 0 {
                            value = isFilled.wait(until: { !$0.isEmpty }) { $0.removeFirst() }
                        } else {
                            value = isFilled.wait(unless: quit.receiver, until: { !$0.isEmpty }) { $0.removeFirst() }
                        }
                        sum.add(value!)
                        isEmptied.signal()
                    }
                    maybeYield(&random)
                }
            }
            #expect(sum.load() == 8 * 4950)
            #expect(buffer.withLock { $0.isEmpty })
        }
    }

    /// Waits that are given up at any moment: the signals they might have had go to others.
    @Test func conditionGivenUp() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let tokens = CSP.Mutex(0), added = Condition(tokens), taken = SharedAtomic(0), offered = 400
            let all = WaitGroup()
            all.go {
                for n in 0..<offered {
                    tokens.withLock { $0 += 1 }
                    added.signal()
                    if n % 16 == 0 { Goroutine.yield() }
                }
            }
            everywhere(goroutines: 8, threads: 3, &random) { index, random in
                if index == 0 || index >= 8 {
                    // Takes its share however long that lasts.
                    for _ in 0..<100 {
                        added.wait(until: { $0 > 0 }) { $0 -= 1 }
                        taken.add(1)
                    }
                } else {
                    for _ in 0..<25 {
                        let done = Channel<Never>()
                        go { done.close() }
                        maybeYield(&random)
                        // Gives back what it gets.
                        let got: Void? = added.wait(unless: done.receiver, until: { $0 > 0 }, then: { $0 -= 1 })
                        if got != nil {
                            tokens.withLock { $0 += 1 }
                            added.signal()
                        }
                    }
                }
            }
            all.wait()
            #expect(taken.load() == offered)
            #expect(tokens.withLock { $0 } == 0)
        }
    }

    @Test func pool() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let pool = Pool { SharedAtomic(0) }
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<100 {
                    let items = (0..<random.next() % 4).map { _ in pool.take() }
                    for item in items { #expect(item.add(1) == 1) }
                    maybeYield(&random)
                    for item in items { item.add(-1) }
                    for item in items { pool.put(item) }
                    if random.next() % 64 == 0 { pool.removeAll() }
                }
            }
        }
    }

    @Test func semaphore() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let slots = Semaphore(5), used = SharedAtomic(0)
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<100 {
                    let count = Int(random.next() % 5) + 1
                    switch random.next() % 4 {
                    case 0: if !slots.tryAcquire(count) { continue }
                    case 1:
                        let done = Channel<Never>()
                        go { done.close() }
                        maybeYield(&random)
                        if !slots.acquire(count, unless: done.receiver) { continue }
                    default: slots.acquire(count)
                    }
                    #expect(used.add(count) <= 5)
                    maybeYield(&random)
                    used.add(-count)
                    slots.release(count)
                }
            }
            #expect(slots.tryAcquire(5))
        }
    }

    /// Selects over two mutexes, a semaphore, a channel and an alarm: each is held by one at a time, and nothing stays behind.
    @Test func selectedLocks() {
        stress(rounds: 10, stressedRounds: 60) { random in
            let first = CSP.Mutex(0), second = CSP.Mutex(0), slots = Semaphore(2), channel = Channel<Int>(capacity: 1)
            let inFirst = SharedAtomic(0), inSecond = SharedAtomic(0), inSlots = SharedAtomic(0)
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<60 {
                    let yields = random.next() % 4 == 0
                    func use(_ busy: SharedAtomic<Int>, _ limit: Int) {
                        #expect(busy.add(1) <= limit)
                        if yields { Goroutine.yield() }
                        busy.add(-1)
                    }
                    let prioritized = random.next() % 2 == 0
                    switch random.next() % 5 {
                    case 0:
                        select(prioritized: prioritized) {
                            Acquire(first) { _ in use(inFirst, 1) }
                            Acquire(slots, 2) { use(inSlots, 1) }
                        }
                    case 1:
                        select(prioritized: prioritized) {
                            Acquire(second) { _ in use(inSecond, 1) }
                            Receive(channel) { _ in }
                            Send(1, to: channel) {}
                            Acquire(first) { _ in use(inFirst, 1) }
                        }
                    case 2:
                        select(prioritized: prioritized) {
                            Acquire(slots) { use(inSlots, 2) }
                            Acquire(second) { _ in use(inSecond, 1) }
                            After(.microseconds(20)) {}
                        }
                    case 3:
                        select(prioritized: prioritized) {
                            Acquire(first) { _ in use(inFirst, 1) }
                            Acquire(second) { _ in use(inSecond, 1) }
                            Default { Goroutine.yield() }
                        }
                    default:
                        first.withLock { _ in use(inFirst, 1) }
                        slots.acquire()
                        use(inSlots, 2)
                        slots.release()
                    }
                }
            }
            #expect(first.withLockIfAvailable { _ in true } == true)
            #expect(second.withLockIfAvailable { _ in true } == true)
            #expect(slots.tryAcquire(2))
        }
    }
}
