package main

import (
	"sync"
	"sync/atomic"
)

// One read by any of eight goroutines under one reader-writer mutex.
func rwMutexRead() float64 {
	const goroutines, roundsEach = 8, 2_000_000
	var mutex sync.RWMutex
	value := 1
	var sum atomic.Int64
	var all sync.WaitGroup
	result := nanosecondsPer(goroutines*roundsEach, func() {
		for range goroutines {
			all.Go(func() {
				subtotal := 0
				for range roundsEach {
					mutex.RLock()
					subtotal += value
					mutex.RUnlock()
				}
				sum.Add(int64(subtotal))
			})
		}
		all.Wait()
	})
	check(sum.Load() == goroutines*roundsEach)
	return result
}
