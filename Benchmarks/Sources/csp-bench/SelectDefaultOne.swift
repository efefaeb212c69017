import CSP

/// One poll of an empty channel.
func selectDefaultOne(operations: Int) -> Double {
    let channel = Channel<Int>(capacity: 1)
    var misses = 0
    let result = nanoseconds(per: operations) {
        for _ in 0..<operations {
            misses += select {
                Receive(channel) { _ in 0 }
                Default { 1 }
            }
        }
    }
    check(misses == operations)
    return result
}
