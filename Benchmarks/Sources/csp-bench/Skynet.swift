import CSP

/// A tree of goroutines, ten children each, with a power of ten of leaves that send their number up: the whole time.
func skynet(leaves: Int) -> Double {
    var sum = 0
    let result = nanoseconds(per: 1) {
        let root = Channel<Int>()
        go { skynetNode(root.sender, 0, leaves) }
        sum = (<-root)!
    }
    check(sum == leaves * (leaves - 1) / 2)
    return result
}

private func skynetNode(_ parent: SendChannel<Int>, _ number: Int, _ size: Int) {
    if size <= 1 {
        parent <- number
        return
    }
    let children = Channel<Int>()
    for child in 0..<10 {
        go { skynetNode(children.sender, number + child * size / 10, size / 10) }
    }
    var sum = 0
    for _ in 0..<10 { sum += (<-children)! }
    parent <- sum
}
