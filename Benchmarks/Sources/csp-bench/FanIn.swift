import CSP

/// One item from one of a hundred producers to a single consumer, unbuffered.
func fanIn(items: Int) -> Double {
    let producers = 100, itemsEach = items / producers
    let channel = Channel<Int>()
    var sum = 0
    let result = nanoseconds(per: producers * itemsEach) {
        for _ in 0..<producers {
            go {
                for i in 0..<itemsEach { channel <- i }
            }
        }
        for _ in 0..<producers * itemsEach { sum += (<-channel)! }
    }
    check(sum == producers * itemsEach * (itemsEach - 1) / 2)
    return result
}
