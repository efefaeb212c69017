import CSP

/// One yield with nobody to yield to.
func yieldAlone() -> Double {
    let yields = 2_000_000
    return nanoseconds(per: yields) {
        for _ in 0..<yields { Goroutine.yield() }
    }
}
