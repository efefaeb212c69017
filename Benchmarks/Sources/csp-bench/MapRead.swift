import CSP

/// One read by any of eight goroutines, of a map of a thousand keys that nobody changes.
func mapRead(_ operations: Int) -> Double {
    let map = ConcurrentMap<Int, Int>()
    for key in 0..<1000 { map[key] = key }
    return readByEight(operations) { map[$0]! }
}

/// The same of a dictionary under a mutex.
func dictionaryRead(_ operations: Int) -> Double {
    let map = CSP.Mutex(Dictionary(uniqueKeysWithValues: (0..<1000).map { ($0, $0) }))
    return readByEight(operations) { key in map.withLock { $0[key]! } }
}

@inline(__always)
private func readByEight(_ operations: Int, _ read: @escaping @Sendable (Int) -> Int) -> Double {
    let goroutines = 8, roundsEach = operations / 8
    let all = WaitGroup(), wrong = SharedAtomic(0)
    let result = nanoseconds(per: goroutines * roundsEach) {
        for first in 0..<goroutines {
            all.go {
                var key = first * 100
                for _ in 0..<roundsEach {
                    if read(key) != key { wrong.add(1) }
                    key = key == 999 ? 0 : key + 1
                }
            }
        }
        all.wait()
    }
    check(wrong.load() == 0)
    return result
}
