import CSP
import Testing

@Suite struct PoolTests {
    @Test func whatWasPutIsTakenAgain() {
        inGoroutine {
            let made = SharedAtomic(0)
            let pool = Pool { made.add(1) }
            #expect(pool.take() == 1)
            pool.put(7)
            #expect(pool.take() == 7)
            #expect(pool.take() == 2)
        }
    }

    @Test func whatThreadsPutIsFoundByGoroutines() {
        let pool = Pool { 0 }, all = WaitGroup()
        all.add(8)
        for n in 1...8 {
            startThread {
                pool.put(n)
                all.done()
            }
        }
        all.wait()
        inGoroutine {
            #expect(Set((1...8).map { _ in pool.take() }) == Set(1...8))
            #expect(pool.take() == 0)
        }
    }

    @Test func swiftTasksTakeAndPutToo() async {
        let pool = Pool { 0 }
        // In one task: on a busy machine the next one may begin when what this one has put is too old.
        let found = await Task.detached {
            for n in 1...8 { pool.put(n) }
            return Set((1...8).map { _ in pool.take() })
        }.value
        #expect(found == Set(1...8))
    }

    @Test func whatNobodyTakesIsReleasedInTime() {
        let ledger = Ledger(3)
        let pool = Pool { TokenObject(2, ledger) }
        pool.put(TokenObject(0, ledger))
        #expect(pool.age())
        pool.put(TokenObject(1, ledger))
        #expect(ledger.total == 0)
        // The first is there for the second time.
        #expect(pool.age())
        #expect(ledger.counts == [1, 0, 0])
        #expect(!pool.age())
        #expect(ledger.counts == [1, 1, 0])
    }

    @Test func whatIsTakenStaysYoung() {
        let pool = Pool { 0 }
        pool.put(5)
        for _ in 0..<5 {
            #expect(pool.age())
            #expect(pool.take() == 5)
            pool.put(5)
        }
    }

    @Test func removeAllReleasesEverything() {
        let ledger = Ledger(2)
        let pool = Pool { TokenObject(1, ledger) }
        pool.put(TokenObject(0, ledger))
        pool.removeAll()
        #expect(ledger.counts == [1, 0])
    }

    @Test func aPoolThatGoesReleasesItsItems() {
        let ledger = Ledger(1)
        do {
            let pool = Pool<TokenObject> { fatalError("nobody takes one") }
            pool.put(TokenObject(0, ledger))
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func noItemIsTakenTwice() {
        inGoroutine {
            let pool = Pool { SharedAtomic(0) }, all = WaitGroup()
            for _ in 0..<16 {
                all.go {
                    for round in 0..<500 {
                        let item = pool.take()
                        #expect(item.add(1) == 1)
                        if round % 8 == 0 { Goroutine.yield() }
                        item.add(-1)
                        pool.put(item)
                    }
                }
            }
            all.wait()
        }
    }
}
