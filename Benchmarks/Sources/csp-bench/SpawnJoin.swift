import CSP

/// One goroutine started and its result received before the next one is started.
func spawnJoin(goroutines: Int) -> Double {
    let results = Channel<Int>()
    var sum = 0
    let result = nanoseconds(per: goroutines) {
        for i in 0..<goroutines {
            go { results <- i }
            sum += (<-results)!
        }
    }
    check(sum == goroutines * (goroutines - 1) / 2)
    return result
}
