import CSP

/// One select of two channels, always the first of them ready, and the send that refills it.
func selectOneReady(operations: Int) -> Double {
    let full = Channel<Int>(capacity: 1), empty = Channel<Int>(capacity: 1)
    full <- 0
    return nanoseconds(per: operations) {
        for _ in 0..<operations {
            select {
                Receive(full) { full <- $0! + 1 }
                Receive(empty) { empty <- $0! + 1 }
            }
        }
    }
}
