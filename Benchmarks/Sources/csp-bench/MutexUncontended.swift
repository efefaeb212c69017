import CSP

/// One lock and unlock of a mutex that nobody else wants.
func mutexUncontended(rounds: Int) -> Double {
    let counter = CSP.Mutex(0)
    let result = nanoseconds(per: rounds) {
        for _ in 0..<rounds { counter.withLock { $0 += 1 } }
    }
    check(counter.withLock { $0 } == rounds)
    return result
}
