import CSP

let million = 1_000_000

/// One of a million goroutines woken from its receive by a close, until the last of them has ended.
func wakeMillion() -> Double {
    let gate = Channel<Never>()
    let ended = parkMillion(at: gate)
    // The last of them have said that they run, and have yet to park.
    Time.sleep(for: .milliseconds(100))
    return nanoseconds(per: million) {
        gate.close()
        ended.wait()
    }
}

/// Starts a million goroutines that wait at `gate`, and returns when all of them have run that far.
func parkMillion(at gate: Channel<Never>) -> WaitGroup {
    let started = WaitGroup(), ended = WaitGroup()
    started.add(million)
    ended.add(million)
    for _ in 0..<million {
        go {
            started.done()
            <-gate
            ended.done()
        }
    }
    started.wait()
    return ended
}
