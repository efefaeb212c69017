import CSP

/// One goroutine that does nothing, started and waited for in batches of 1000.
func spawnWaitGroup(goroutines: Int) -> Double {
    let batchSize = 1000, batches = goroutines / batchSize
    return nanoseconds(per: batches * batchSize) {
        for _ in 0..<batches {
            let batch = WaitGroup()
            for _ in 0..<batchSize { batch.go {} }
            batch.wait()
        }
    }
}
