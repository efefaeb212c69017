import CSP

/// One operation by any of eight goroutines on a map of a thousand keys: of ten, eight read, one stores, and one removes.
func mapMixed(_ operations: Int) -> Double {
    let map = ConcurrentMap<Int, Int>()
    for key in 0..<1000 { map[key] = key }
    return mixByEight(operations, read: { map[$0] }, store: { map[$0] = $1 }, remove: { map[$0] = nil })
}

/// The same on a dictionary under a mutex.
func dictionaryMixed(_ operations: Int) -> Double {
    let map = CSP.Mutex(Dictionary(uniqueKeysWithValues: (0..<1000).map { ($0, $0) }))
    return mixByEight(
        operations, read: { key in map.withLock { $0[key] } },
        store: { key, value in map.withLock { $0[key] = value } },
        remove: { key in map.withLock { $0[key] = nil } })
}

@inline(__always)
private func mixByEight(
    _ operations: Int, read: @escaping @Sendable (Int) -> Int?, store: @escaping @Sendable (Int, Int) -> Void,
    remove: @escaping @Sendable (Int) -> Void
) -> Double {
    let goroutines = 8, roundsEach = operations / 8
    let all = WaitGroup(), wrong = SharedAtomic(0)
    let result = nanoseconds(per: goroutines * roundsEach) {
        for first in 0..<goroutines {
            all.go {
                var key = first * 100
                for round in 0..<roundsEach {
                    switch round % 10 {
                    case 4: store(key, key)
                    case 9: remove(key)
                    default: if let value = read(key), value != key { wrong.add(1) }
                    }
                    key = (key + 7) % 1000
                }
            }
        }
        all.wait()
    }
    check(wrong.load() == 0)
    return result
}
