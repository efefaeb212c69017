import CSP
import Testing

/// What happens to two at once is in CSPFatalTests.
@Suite struct CheckedMapTests {
    @Test func itIsLikeADictionary() {
        let map = CheckedMap(["a": 1])
        map["b"] = 2
        map["a"]! += 10
        map["c", default: 5] += 1
        #expect(map["a"] == 11 && map["b"] == 2 && map["c"] == 6 && map["d"] == nil && map["d", default: 7] == 7)
        #expect(map.count == 3)
        #expect(map.removeValue(forKey: "a") == 11 && map.removeValue(forKey: "a") == nil)
        map["b"] = nil
        #expect(map.count == 1)
        map.removeAll()
        #expect(map.isEmpty)
    }

    @Test func aDefaultMayLookAtTheMap() {
        let map = CheckedMap(["a": [1]])
        map["b", default: [map.count]].append(2)
        map["a", default: [map.count]].append(3)
        #expect(map["b"] == [1, 2] && map["a"] == [1, 3])
    }

    @Test func aBodyOfForEachMayChangeTheMap() {
        let map = CheckedMap<Int, Int>()
        for key in 0..<100 { map[key] = key }
        var seen = 0
        map.forEach { key, value in
            seen += 1
            map[key] = nil
            map[key + 1000] = value
        }
        #expect(seen == 100 && map.count == 100 && map[1099] == 99)
    }

    @Test func manyMayReadAtOnce() {
        inGoroutine {
            let map = CheckedMap(Dictionary(uniqueKeysWithValues: (0..<100).map { ($0, $0) }))
            let readers = WaitGroup()
            for _ in 0..<8 {
                readers.go {
                    for round in 0..<1000 {
                        #expect(map[round % 100] == round % 100)
                        if round % 100 == 0 { map.forEach { key, value in if key != value { Issue.record() } } }
                    }
                }
            }
            readers.wait()
        }
    }

    @Test func oneAfterTheOtherIsFine() {
        inGoroutine {
            let map = CheckedMap<Int, Int>(), turn = CSP.Mutex()
            let all = WaitGroup()
            for goroutine in 0..<8 {
                all.go {
                    for round in 0..<200 {
                        turn.lock()
                        map[goroutine * 1000 + round] = round
                        turn.unlock()
                    }
                }
            }
            all.wait()
            #expect(map.count == 1600)
        }
    }

    /// What it holds need not be Sendable, as long as it is not shared.
    @Test func itHoldsAnything() {
        final class Box { var value = 1 }
        let map = CheckedMap<Int, Box>()
        map[1] = Box()
        map[1]?.value += 1
        #expect(map[1]?.value == 2)
    }
}
