import CSP

/// One goroutine that does nothing, started and waited for in batches of 1000.
func spawnWaitGroup() -> Double {
    let batches = 1000, batchSize = 1000
    return nanoseconds(per: batches * batchSize) {
        for _ in 0..<batches {
            let batch = WaitGroup()
            for _ in 0..<batchSize { batch.go {} }
            batch.wait()
        }
    }
}
