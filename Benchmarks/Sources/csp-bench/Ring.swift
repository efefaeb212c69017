import CSP

/// One hop of the only token in a ring of a thousand goroutines.
func ring(hops: Int) -> Double {
    let size = 1000, laps = hops / size
    let first = Channel<Int>()
    var last = first
    for _ in 1..<size {
        let input = last, output = Channel<Int>()
        go {
            for token in input { output <- token + 1 }
            output.close()
        }
        last = output
    }
    var token = 0
    let result = nanoseconds(per: size * laps) {
        for _ in 0..<laps {
            first <- token
            token = (<-last)! + 1
        }
    }
    first.close()
    // Until all of them have ended, so that every run does the same.
    <-last
    check(token == size * laps)
    return result
}
