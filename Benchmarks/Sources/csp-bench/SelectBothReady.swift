import CSP

/// One select of two channels, both ready, and the send that refills the chosen one.
func selectBothReady(operations: Int) -> Double {
    let first = Channel<Int>(capacity: 1), second = Channel<Int>(capacity: 1)
    first <- 0
    second <- 0
    return nanoseconds(per: operations) {
        for _ in 0..<operations {
            select {
                Receive(first) { first <- $0! + 1 }
                Receive(second) { second <- $0! + 1 }
            }
        }
    }
}
