import CSP

/// One read by any of eight goroutines under one reader-writer mutex.
func rwMutexRead(_ operations: Int) -> Double {
    let goroutines = 8, roundsEach = operations / 8
    let value = RWMutex(1)
    let sum = SharedAtomic(0)
    let all = WaitGroup()
    let result = nanoseconds(per: goroutines * roundsEach) {
        for _ in 0..<goroutines {
            all.go {
                var subtotal = 0
                for _ in 0..<roundsEach { subtotal += value.withReadLock { $0 } }
                sum.add(subtotal)
            }
        }
        all.wait()
    }
    check(sum.load() == goroutines * roundsEach)
    return result
}
