import CSP

/// One round trip of a value over two unbuffered channels, each side receiving by a select of two.
func selectPingPong(roundTrips: Int) -> Double {
    let ping = Channel<Int>(), pong = Channel<Int>(), quit = Channel<Never>()
    go {
        var playing = true
        while playing {
            playing = select {
                Receive(ping) { ball in
                    pong <- ball!
                    return true
                }
                Receive(quit) { _ in false }
            }
        }
    }
    defer { quit.close() }
    return nanoseconds(per: roundTrips) {
        for i in 0..<roundTrips {
            ping <- i
            select {
                Receive(pong) { _ in }
                Receive(quit) { _ in }
            }
        }
    }
}
