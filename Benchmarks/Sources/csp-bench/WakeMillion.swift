import CSP

/// One of a million goroutines woken from its receive by a close, until the last of them has ended.
func wakeMillion(goroutines: Int) -> Double {
    let gate = Channel<Never>()
    let ended = park(goroutines, at: gate)
    // The last of them have said that they run, and have yet to park.
    Time.sleep(for: .milliseconds(100))
    return nanoseconds(per: goroutines) {
        gate.close()
        ended.wait()
    }
}

/// Starts goroutines that wait at `gate`, and returns when all of them have run that far.
func park(_ count: Int, at gate: Channel<Never>) -> WaitGroup {
    let started = WaitGroup(), ended = WaitGroup()
    started.add(count)
    ended.add(count)
    for _ in 0..<count {
        go {
            started.done()
            <-gate
            ended.done()
        }
    }
    started.wait()
    return ended
}
