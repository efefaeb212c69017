import CSP

/// A send and a receive that never wait: a channel's own cost.
func bufferedSameGoroutine(operations: Int) -> Double {
    let channel = Channel<Int>(capacity: 1)
    var sum = 0
    let result = nanoseconds(per: operations) {
        for i in 0..<operations {
            channel <- i
            sum += (<-channel)!
        }
    }
    check(sum == operations * (operations - 1) / 2)
    return result
}
