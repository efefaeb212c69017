import CSP

/// One operation by any of eight goroutines on a map of a thousand keys: of ten, eight read, one stores, and one removes.
func mapMixed(_ operations: Int) -> Double {
    let map = ConcurrentMap<Int, Int>()
    for key in 0..<1000 { map[key] = key }
    let goroutines = 8, roundsEach = operations / 8
    let all = WaitGroup(), wrong = SharedAtomic(0)
    let result = nanoseconds(per: goroutines * roundsEach) {
        for first in 0..<goroutines {
            all.go {
                var key = first * 100
                for round in 0..<roundsEach {
                    switch round % 10 {
                    case 4: map[key] = key
                    case 9: map[key] = nil
                    default: if let value = map[key], value != key { wrong.add(1) }
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
