import CSP
import Testing

@Suite struct ConcurrentMapTests {
    @Test func whatIsStoredIsFound() {
        let map = ConcurrentMap<String, Int>()
        #expect(map["a"] == nil && map.isEmpty)
        map["a"] = 1
        map["b"] = 2
        map["a"] = 3
        #expect(map["a"] == 3 && map["b"] == 2 && map["c"] == nil)
        #expect(map.count == 2)
        map["a"] = nil
        map["c"] = nil
        #expect(map["a"] == nil && map.count == 1)
    }

    /// Like a dictionary, whatever is done to it, with keys that all collide as well.
    @Test(arguments: [1, 3, 100_000])
    func itIsLikeADictionary(_ hashes: Int) {
        var random = SplitMix64(seed: UInt64(hashes))
        let map = ConcurrentMap<BadlyHashed, Int>()
        var model: [BadlyHashed: Int] = [:]
        for step in 0..<(hashes < 100 ? 3_000 : 60_000) {
            let key = BadlyHashed(id: Int(random.next() % (hashes < 100 ? 60 : 5_000)), hashes: hashes)
            switch random.next() % 8 {
            case 0, 1:
                map[key] = step
                model[key] = step
            case 2:
                #expect(map.removeValue(forKey: key) == model.removeValue(forKey: key))
            case 3:
                let before = model[key]
                if before == nil { model[key] = step }
                #expect(map.loadOrStore(key, step) == (before ?? step, before != nil))
            case 4:
                #expect(map.updateValue(step, forKey: key) == model.updateValue(step, forKey: key))
            case 5:
                map.update(key) { $0 = $0.map { $0 + 1 } }
                model[key] = model[key].map { $0 + 1 }
            default:
                #expect(map[key] == model[key])
            }
        }
        #expect(map.count == model.count)
        #expect(map.snapshot() == model)
    }

    @Test func integerKeysOfAnyKind() {
        func check<Key: FixedWidthInteger & Sendable>(_: Key.Type) {
            let map = ConcurrentMap<Key, Key>()
            let keys = [Key.min, 0, 1, 2, 64, Key.max] + (3..<60).map { Key($0) }
            for key in keys { map[key] = key }
            #expect(keys.allSatisfy { map[$0] == $0 })
            #expect(map.count == Set(keys).count)
        }
        check(Int.self)
        check(UInt.self)
        check(Int64.self)
        check(UInt64.self)
        check(Int32.self)
        check(UInt32.self)
        check(Int16.self)
        check(UInt8.self)
    }

    @Test func whatIsThereIsNotComputedAgain() throws {
        struct Refused: Error {}
        let map = ConcurrentMap<Int, String>()
        var computed = 0
        func value() throws -> String {
            computed += 1
            if computed == 1 { throw Refused() }
            return "value"
        }
        #expect(throws: Refused.self) { try map.loadOrStore(1, try value()) }
        #expect(map.isEmpty)
        #expect(try map.loadOrStore(1, try value()) == ("value", false))
        #expect(try map.loadOrStore(1, try value()) == ("value", true))
        #expect(computed == 2)
    }

    @Test func itComparesAndExchanges() {
        let map = ConcurrentMap<String, Int>()
        #expect(!map.compareExchange("a", expected: 1, desired: 2))
        #expect(map.isEmpty)
        map["a"] = 1
        #expect(!map.compareExchange("a", expected: 2, desired: 3) && map["a"] == 1)
        #expect(map.compareExchange("a", expected: 1, desired: 2) && map["a"] == 2)
        #expect(!map.removeValue(forKey: "a", ifEqualTo: 1) && map["a"] == 2)
        #expect(map.removeValue(forKey: "a", ifEqualTo: 2) && map["a"] == nil)
        #expect(!map.removeValue(forKey: "a", ifEqualTo: 2))
    }

    @Test func anUpdateThatThrowsChangesNothing() {
        struct Refused: Error {}
        let map = ConcurrentMap<Int, Int>()
        map[1] = 1
        #expect(throws: Refused.self) {
            try map.update(1) { value throws(Refused) in
                value = 2
                throw Refused()
            }
        }
        #expect(map[1] == 1)
        #expect(
            map.update(1) {
                $0! += 5; return $0!
            } == 6)
        map.update(1) { $0 = nil }
        map.update(2) { $0 = nil }
        #expect(map.isEmpty)
    }

    @Test func aBodyOfForEachMayChangeTheMapAndWait() {
        inGoroutine {
            let map = ConcurrentMap<Int, Int>()
            for key in 0..<1000 { map[key] = key }
            var seen: [Int: Int] = [:]
            map.forEach { key, value in
                seen[key, default: 0] += 1
                map[key] = nil
                map[key] = value + 1
                map[key + 10_000] = 0
                if key % 100 == 0 { Goroutine.yield() }
                return true
            }
            #expect((0..<1000).allSatisfy { seen[$0] == 1 && map[$0] == $0 + 1 })
            #expect(seen.values.allSatisfy { $0 == 1 })
            var calls = 0
            map.forEach { _, _ in
                calls += 1
                return calls < 5
            }
            #expect(calls == 5)
        }
    }

    @Test func whatIsRemovedIsReleased() {
        inGoroutine {
            let ledger = Ledger(3000)
            let map = ConcurrentMap<Int, Kept>()
            for key in 0..<1000 { map[key] = Kept(key, ledger) }
            for key in 0..<1000 { map[key] = Kept(1000 + key, ledger) }
            #expect(eventually { ledger.counts[0..<1000].allSatisfy { $0 == 1 } })
            for key in 0..<500 { map[key] = nil }
            #expect(eventually { ledger.counts[1000..<1500].allSatisfy { $0 == 1 } })
            #expect(ledger.counts[1500...].allSatisfy { $0 == 0 })
            map.removeAll()
            #expect(map.isEmpty && map[700] == nil)
            #expect(eventually { ledger.counts[1500..<2000].allSatisfy { $0 == 1 } })
            for key in 0..<1000 { map[key] = Kept(2000 + key, ledger) }
            #expect(map.count == 1000)
        }
    }

    @Test func aMapThatGoesReleasesEverything() {
        let ledger = Ledger(200)
        do {
            let map = ConcurrentMap<Int, Kept>()
            for key in 0..<100 { map[key] = Kept(key, ledger) }
            for key in 0..<100 { map[key] = Kept(100 + key, ledger) }
        }
        #expect(eventually { ledger.allReleasedOnce })
    }

    /// A reader whose `==` parks keeps what it looks at, on whatever thread it goes on; once it has left, all is released.
    @Test func aReaderThatParksKeepsWhatItLooksAt() {
        inGoroutine {
            let ledger = Ledger(2000), gate = Channel<Void>(), isInside = Channel<Void>()
            let map = ConcurrentMap<SlowlyCompared, Kept>()
            map[SlowlyCompared(id: 1)] = Kept(0, ledger)
            let readers = WaitGroup()
            for _ in 0..<4 {
                readers.go {
                    let key = SlowlyCompared(id: 1) {
                        isInside <- ()
                        <-gate
                    }
                    #expect(map[key]?.id == 0)
                }
            }
            for _ in 0..<4 { <-isInside }
            for id in 1..<2000 { map[SlowlyCompared(id: 1)] = Kept(id, ledger) }
            Time.sleep(for: .milliseconds(30))
            #expect(ledger.total == 0)
            for _ in 0..<4 { gate <- () }
            readers.wait()
            #expect(eventually { ledger.total == 1999 })
            #expect(map[SlowlyCompared(id: 1)]?.id == 1999)
        }
    }

    /// However busy the readers are.
    @Test func whatIsReplacedIsReleasedBesideReaders() {
        inGoroutine {
            let alive = SharedAtomic(0), map = ConcurrentMap<Int, Counted>(), isOver = SharedAtomic(0)
            for key in 0..<8 { map[key] = Counted(alive) }
            let readers = WaitGroup()
            for first in 0..<4 {
                let read: @Sendable () -> Void = {
                    var key = first
                    while isOver.load() == 0 {
                        if map[key & 7] == nil { Issue.record() }
                        key += 1
                    }
                    readers.done()
                }
                readers.add()
                if first % 2 == 0 { go(read) } else { startThread(read) }
            }
            for round in 0..<5 {
                for key in 0..<3_000 { map[key & 7] = Counted(alive) }
                #expect(eventually { alive.load() < 1000 }, "round \(round)")
            }
            isOver.store(1)
            readers.wait()
            #expect(eventually { alive.load() == 8 })
        }
    }

    /// Neither a reader nor forEach waits for a body of `update` that waits.
    @Test func aLongUpdateHoldsUpNobodyWhoReads() {
        inGoroutine {
            let ledger = Ledger(1), map = ConcurrentMap<Int, Kept>(), gate = Channel<Void>(),
                isInside = Channel<Void>()
            map[-1] = Kept(0, ledger)
            let updates = WaitGroup()
            updates.go {
                map.update(-1) { _ in
                    isInside <- ()
                    <-gate
                }
            }
            <-isInside
            #expect(map[-1]?.id == 0)
            var seen = 0
            map.forEach { _, _ in
                seen += 1
                return true
            }
            #expect(seen == 1)
            gate <- ()
            updates.wait()
        }
    }

    @Test func swiftTasksUseItToo() async {
        let map = ConcurrentMap<Int, Int>()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for key in 0..<200 {
                        map.update(key) { $0 = ($0 ?? 0) + 1 }
                        if key % 50 == task { await Task.yield() }
                        #expect(map[key]! >= 1)
                    }
                }
            }
        }
        #expect((0..<200).allSatisfy { map[$0] == 8 })
    }
}

/// A key with few hashes.
private struct BadlyHashed: Hashable, Sendable {
    let id: Int, hashes: Int
    func hash(into hasher: inout Hasher) { hasher.combine(id % hashes) }
    static func == (a: Self, b: Self) -> Bool { a.id == b.id }
}

/// A key that does something when it is compared.
private struct SlowlyCompared: Hashable, Sendable {
    let id: Int
    var whenCompared: (@Sendable () -> Void)?
    func hash(into hasher: inout Hasher) { hasher.combine(id) }
    static func == (a: Self, b: Self) -> Bool {
        a.whenCompared?()
        b.whenCompared?()
        return a.id == b.id
    }
}

private final class Kept: @unchecked Sendable {
    let id: Int
    private let token: TokenObject
    init(_ id: Int, _ ledger: Ledger) {
        self.id = id
        token = TokenObject(id, ledger)
    }
}

private final class Counted: Sendable {
    private let alive: SharedAtomic<Int>
    init(_ alive: SharedAtomic<Int>) {
        self.alive = alive
        alive.add(1)
    }
    deinit { alive.add(-1) }
}
