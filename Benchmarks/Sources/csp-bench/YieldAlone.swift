import CSP

/// One yield with nobody to yield to.
func yieldAlone(yields: Int) -> Double {
    nanoseconds(per: yields) {
        for _ in 0..<yields { Goroutine.yield() }
    }
}
