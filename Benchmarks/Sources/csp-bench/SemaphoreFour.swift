import CSP

/// One acquisition and release by any of eight goroutines of a semaphore of four.
func semaphoreFour(_ operations: Int) -> Double {
    let goroutines = 8, roundsEach = operations / 8
    let slots = Semaphore(4)
    let served = SharedAtomic(0)
    let all = WaitGroup()
    let result = nanoseconds(per: goroutines * roundsEach) {
        for _ in 0..<goroutines {
            all.go {
                for _ in 0..<roundsEach {
                    slots.acquire()
                    slots.release()
                }
                served.add(roundsEach)
            }
        }
        all.wait()
    }
    check(served.load() == goroutines * roundsEach)
    return result
}
