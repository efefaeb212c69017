import CSP

/// One read by any of eight goroutines, of a map of a thousand keys that nobody changes.
func mapRead(_ operations: Int) -> Double {
    let map = ConcurrentMap<Int, Int>()
    for key in 0..<1000 { map[key] = key }
    let goroutines = 8, roundsEach = operations / 8
    let all = WaitGroup(), wrong = SharedAtomic(0)
    let result = nanoseconds(per: goroutines * roundsEach) {
        for first in 0..<goroutines {
            all.go {
                var key = first * 100
                for _ in 0..<roundsEach {
                    if map[key] != key { wrong.add(1) }
                    key = key == 999 ? 0 : key + 1
                }
            }
        }
        all.wait()
    }
    check(wrong.load() == 0)
    return result
}
