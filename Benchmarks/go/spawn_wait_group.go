package main

import "sync"

// One goroutine that does nothing, started and waited for in batches of 1000.
func spawnWaitGroup() float64 {
	const batches, batchSize = 1000, 1000
	return nanosecondsPer(batches*batchSize, func() {
		for range batches {
			var batch sync.WaitGroup
			for range batchSize {
				batch.Go(func() {})
			}
			batch.Wait()
		}
	})
}
