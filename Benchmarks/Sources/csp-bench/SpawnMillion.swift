import CSP

/// One of a million goroutines started and parked, when a million before them have left their stacks to be used again.
func spawnMillion() -> Double {
    let firstGate = Channel<Never>(), secondGate = Channel<Never>()
    var ended = parkMillion(at: firstGate)
    firstGate.close()
    ended.wait()
    let result = nanoseconds(per: million) {
        ended = parkMillion(at: secondGate)
    }
    secondGate.close()
    ended.wait()
    return result
}
