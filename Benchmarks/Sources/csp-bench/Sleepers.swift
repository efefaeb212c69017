import CSP

/// A hundred thousand goroutines that sleep 10 ms, from the first start to the last end: the whole time.
func sleepers() -> Double {
    nanoseconds(per: 1) {
        let sleeping = WaitGroup()
        for _ in 0..<100_000 {
            sleeping.go { Time.sleep(for: .milliseconds(10)) }
        }
        sleeping.wait()
    }
}
