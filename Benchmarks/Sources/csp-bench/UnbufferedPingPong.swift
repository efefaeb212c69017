import CSP

/// One round trip of a value over two unbuffered channels between two goroutines.
func unbufferedPingPong(roundTrips: Int) -> Double {
    let ping = Channel<Int>(), pong = Channel<Int>()
    go { for ball in ping { pong <- ball } }
    defer { ping.close() }
    return nanoseconds(per: roundTrips) {
        for i in 0..<roundTrips {
            ping <- i
            <-pong
        }
    }
}
