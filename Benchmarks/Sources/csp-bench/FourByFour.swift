import CSP

/// One item from any of four producers to any of four consumers over one buffer of 128.
func fourByFour(items: Int) -> Double {
    let itemsEach = items / 4
    let channel = Channel<Int>(capacity: 128)
    let sum = SharedAtomic(0)
    let producers = WaitGroup(), consumers = WaitGroup()
    let result = nanoseconds(per: 4 * itemsEach) {
        for _ in 0..<4 {
            producers.go {
                for i in 0..<itemsEach { channel <- i }
            }
            consumers.go {
                var subtotal = 0
                for item in channel { subtotal += item }
                sum.add(subtotal)
            }
        }
        producers.wait()
        channel.close()
        consumers.wait()
    }
    check(sum.load() == 4 * itemsEach * (itemsEach - 1) / 2)
    return result
}
