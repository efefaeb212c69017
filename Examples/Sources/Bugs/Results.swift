import CSP

/// The sum of squares, by several workers. It waits for them before it takes what they send, and they wait until it does.
public func sumOfSquares(_ numbers: [Int]) -> Int {
    let squares = Channel<Int>(), workers = WaitGroup()
    for number in numbers { workers.go("square of \(number)") { squares <- number * number } }
    workers.wait()
    squares.close()
    return squares.reduce(0, +)
}

/// The same, with a goroutine that waits for them and closes the channel.
public func sumOfSquaresClosed(_ numbers: [Int]) -> Int {
    let squares = Channel<Int>(), workers = WaitGroup()
    for number in numbers { workers.go("square of \(number)") { squares <- number * number } }
    go("closer") {
        workers.wait()
        squares.close()
    }
    return squares.reduce(0, +)
}
