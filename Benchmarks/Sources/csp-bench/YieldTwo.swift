import CSP

/// One yield, with another goroutine yielding as well.
func yieldTwo(yields: Int) -> Double {
    let yieldsEach = yields / 2
    return nanoseconds(per: 2 * yieldsEach) {
        let both = WaitGroup()
        for _ in 0..<2 {
            both.go {
                for _ in 0..<yieldsEach { Goroutine.yield() }
            }
        }
        both.wait()
    }
}
