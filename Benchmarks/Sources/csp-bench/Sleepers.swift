import CSP

/// Goroutines that sleep 10 ms, from the first start to the last end: the whole time.
func sleepers(goroutines: Int) -> Double {
    nanoseconds(per: 1) {
        let sleeping = WaitGroup()
        for _ in 0..<goroutines {
            sleeping.go { Time.sleep(for: .milliseconds(10)) }
        }
        sleeping.wait()
    }
}
