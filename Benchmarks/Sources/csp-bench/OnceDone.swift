import CSP

/// One look at something that was done once.
func onceDone(rounds: Int) -> Double {
    let once = Once()
    var count = 0
    let result = nanoseconds(per: rounds) {
        for _ in 0..<rounds { once.run { count += 1 } }
    }
    check(count == 1)
    return result
}
