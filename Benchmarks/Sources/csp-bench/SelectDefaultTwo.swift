import CSP

/// One poll of two empty channels.
func selectDefaultTwo(operations: Int) -> Double {
    let first = Channel<Int>(capacity: 1), second = Channel<Int>(capacity: 1)
    var misses = 0
    let result = nanoseconds(per: operations) {
        for _ in 0..<operations {
            misses += select {
                Receive(first) { _ in 0 }
                Receive(second) { _ in 0 }
                Default { 1 }
            }
        }
    }
    check(misses == operations)
    return result
}
