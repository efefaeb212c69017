import CSP
import Testing

/// The maps and SingleFlight, from goroutines and plain threads at once. Serial: see `stress`.
@Suite(.serialized) struct MapStressTests {
    /// Every kind of change, beside readers: nobody sees a value of another key or one that was released, nothing is lost or left behind.
    @Test func map() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let alive = SharedAtomic(0)
            do {
                let map = ConcurrentMap<Key, Item>()
                let keys = 64
                // In exchange for what the map holds: additions minus removals, key by key.
                let balance = (0..<keys).map { _ in SharedAtomic(0) }
                everywhere(goroutines: 12, threads: 4, &random) { random in
                    for _ in 0..<200 {
                        let key = Int(random.next() % UInt64(keys))
                        let yields = random.next() % 32 == 0
                        let asked = Key(id: key, yields: yields)
                        switch random.next() % 16 {
                        case 0:
                            if map.updateValue(Item(key, alive), forKey: asked) == nil { balance[key].add(1) }
                        case 1:
                            if let removed = map.removeValue(forKey: asked) {
                                removed.check(key)
                                balance[key].add(-1)
                            }
                        case 2:
                            let (item, wasThere) = map.loadOrStore(asked, Item(key, alive))
                            item.check(key)
                            if !wasThere { balance[key].add(1) }
                        case 3:
                            map.update(asked) { item in
                                item?.check(key)
                                if item == nil {
                                    balance[key].add(1)
                                    item = Item(key, alive)
                                } else if random.next() % 2 == 0 {
                                    balance[key].add(-1)
                                    item = nil
                                }
                            }
                        case 4:
                            if let item = map[asked] {
                                item.check(key)
                                if map.removeValue(forKey: asked, ifEqualTo: item) { balance[key].add(-1) }
                            }
                        case 5:
                            if let item = map[asked],
                                map.compareExchange(asked, expected: item, desired: Item(key, alive))
                            {
                                item.check(key)
                            }
                        case 6 where random.next() % 16 == 0:
                            var seen = Set<Int>()
                            map.forEach { key, item in
                                item.check(key.id)
                                #expect(seen.insert(key.id).inserted)
                                maybeYield(&random)
                                return true
                            }
                        default: map[asked]?.check(key)
                        }
                        maybeYield(&random)
                    }
                }
                for key in 0..<keys { #expect((map[Key(id: key)] == nil ? 0 : 1) == balance[key].load()) }
                #expect(map.count == balance.reduce(0) { $0 + $1.load() })
                #expect(map.snapshot().count == map.count)
            }
            while alive.load() != 0 { Time.sleep(for: .milliseconds(1)) }
        }
    }

    /// Tables grow, empty and go while others read: a key that is there all the time is always found, and its value never goes back.
    @Test func growingMap() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let map = ConcurrentMap<Int, Int>()
            for key in 0..<8 { map[key] = 0 }
            everywhere(goroutines: 8, threads: 3, &random) { index, random in
                if index == 0 {
                    for value in 1...500 {
                        map[value % 8] = value
                        maybeYield(&random)
                    }
                } else if index < 4 {
                    let base = index * 100_000
                    for _ in 0..<3 {
                        for key in base..<(base + 300) { map[key] = key }
                        maybeYield(&random)
                        for key in base..<(base + 300) { #expect(map.removeValue(forKey: key) == key) }
                    }
                } else {
                    var last = [Int](repeating: 0, count: 8)
                    for round in 0..<2000 {
                        let key = round % 8
                        guard let value = map[key] else {
                            Issue.record("a key that is there was not found")
                            return
                        }
                        #expect(value >= last[key])
                        last[key] = value
                        if round % 64 == 0 { maybeYield(&random) }
                    }
                }
            }
            #expect(map.count == 8)
        }
    }

    /// Increments by every means: none is lost.
    @Test func countingInAMap() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let map = ConcurrentMap<String, Int>()
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<100 {
                    let word = "word \(random.next() % 4)"
                    if random.next() % 2 == 0 {
                        map.update(word) { $0 = ($0 ?? 0) + 1 }
                    } else {
                        map.loadOrStore(word, 0)
                        while true {
                            let count = map[word]!
                            if map.compareExchange(word, expected: count, desired: count + 1) { break }
                        }
                    }
                }
            }
            #expect(map.snapshot().values.reduce(0, +) == 1600)
        }
    }

    @Test func singleFlight() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let flights = SingleFlight<Int, Int>(), forgets = random.next() % 2 == 0
            let inside = (0..<4).map { _ in SharedAtomic(0) }, runs = SharedAtomic(0), sharers = SharedAtomic(0)
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<50 {
                    let key = Int(random.next() % 4), yields = random.next() % 2 == 0
                    let body: @Sendable () -> Int = {
                        runs.add(1)
                        let others = inside[key].add(1) - 1
                        #expect(others == 0 || forgets)
                        if yields { Goroutine.yield() }
                        inside[key].add(-1)
                        return key
                    }
                    let value: Int
                    switch random.next() % 4 {
                    case 0:
                        let outcome = flights.start(key, body).receive()!
                        value = try! outcome.result.get()
                        if outcome.shared { sharers.add(1) }
                    case 1:
                        let (context, cancel) = Context.background.withTimeout(
                            .microseconds(Int64(random.next() % 200)))
                        value = (try? flights.run(key, in: context, body).value) ?? key
                        cancel()
                    default:
                        let outcome = try! flights.run(key, body)
                        value = outcome.value
                        if outcome.shared { sharers.add(1) }
                    }
                    #expect(value == key)
                    if forgets, random.next() % 8 == 0 { flights.forget(key) }
                }
            }
            #expect(runs.load() > 0)
        }
    }
}

/// Compared to another, some park.
private struct Key: Hashable {
    let id: Int
    var yields = false
    func hash(into hasher: inout Hasher) { hasher.combine(id) }
    static func == (a: Key, b: Key) -> Bool {
        if a.yields || b.yields { Goroutine.yield() }
        return a.id == b.id
    }
}

/// Knows whether it was released.
private final class Item: Equatable, @unchecked Sendable {
    private let id: Int
    private let alive: SharedAtomic<Int>
    private var mark = 0x600d

    init(_ id: Int, _ alive: SharedAtomic<Int>) {
        self.id = id
        self.alive = alive
        alive.add(1)
    }

    deinit {
        mark = 0xdead
        alive.add(-1)
    }

    func check(_ id: Int) {
        if self.id != id || mark != 0x600d { Issue.record("not the value that was stored") }
    }

    static func == (a: Item, b: Item) -> Bool { a === b }
}
