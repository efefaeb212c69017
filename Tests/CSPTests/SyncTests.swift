import CSP
import Testing

@Suite struct WaitGroupTests {
    @Test func waitReturnsAtOnceAtZero() {
        WaitGroup().wait()
        inGoroutine { WaitGroup().wait() }
    }

    @Test func waitersOfAllKindsAreReleasedTogether() {
        let group = WaitGroup(), released = SharedAtomic(0), all = WaitGroup()
        group.add()
        all.add(20)
        for n in 0..<20 {
            let wait: @Sendable () -> Void = {
                group.wait()
                released.add(1)
                all.done()
            }
            if n % 2 == 0 { go { wait() } } else { startThread(wait) }
        }
        settle()
        #expect(released.load() == 0)
        group.done()
        all.wait()
        #expect(released.load() == 20)
    }

    @Test func aGroupCanBeUsedAgain() {
        inGoroutine {
            let group = WaitGroup(), count = SharedAtomic(0)
            for round in 1...100 {
                for _ in 0..<10 { group.go { count.add(1) } }
                group.wait()
                #expect(count.load() == round * 10)
            }
        }
    }

    @Test func addTakesAnyNumber() {
        inGoroutine {
            let group = WaitGroup()
            group.add(3)
            group.add(-2)
            go { group.done() }
            group.wait()
        }
    }
}

@Suite struct SharedAtomicTests {
    @Test func operationsOnEachWidth() {
        func check<T: FixedWidthInteger & Sendable>(_: T.Type) {
            let atomic = SharedAtomic<T>(5)
            #expect(atomic.load() == 5)
            #expect(atomic.add(2) == 7)
            #expect(atomic.exchange(9) == 7)
            #expect(!atomic.compareExchange(expected: 7, desired: 1))
            #expect(atomic.compareExchange(expected: 9, desired: T.max))
            #expect(atomic.add(1) == T.min)
            atomic.store(T.min)
            #expect(atomic.load() == T.min)
        }
        check(Int8.self)
        check(UInt16.self)
        check(Int32.self)
        check(UInt.self)
        check(Int.self)
        check(Int128.self)
    }

    @Test func everyIncrementCounts() {
        inGoroutine {
            let narrow = SharedAtomic<Int32>(0), wide = SharedAtomic<Int128>(0)
            let group = WaitGroup()
            for _ in 0..<100 {
                group.go {
                    for _ in 0..<100 {
                        narrow.add(1)
                        wide.add(1)
                        if narrow.load() % 7 == 0 { Goroutine.yield() }
                    }
                }
            }
            group.wait()
            #expect(narrow.load() == 10_000)
            #expect(wide.load() == 10_000)
        }
    }
}
