import CSP

/// One item from a producer to a consumer over a buffer of 128.
func producerConsumer(items: Int) -> Double {
    let channel = Channel<Int>(capacity: 128)
    var sum = 0
    let result = nanoseconds(per: items) {
        go {
            for i in 0..<items { channel <- i }
            channel.close()
        }
        for item in channel { sum += item }
    }
    check(sum == items * (items - 1) / 2)
    return result
}
