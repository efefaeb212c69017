import CSP

/// One of a million goroutines started and parked, when as many before them have left their stacks to be used again.
func spawnMillion(goroutines: Int) -> Double {
    let firstGate = Channel<Never>(), secondGate = Channel<Never>()
    var ended = park(goroutines, at: firstGate)
    firstGate.close()
    ended.wait()
    let result = nanoseconds(per: goroutines) {
        ended = park(goroutines, at: secondGate)
    }
    secondGate.close()
    ended.wait()
    return result
}
