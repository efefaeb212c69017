package main

import (
	"sync"
	"sync/atomic"
)

// One read by any of eight goroutines, of a map of a thousand keys that nobody changes.
func mapRead() float64 {
	var shared sync.Map
	for key := range 1000 {
		shared.Store(key, key)
	}
	const goroutines, roundsEach = 8, 1_000_000
	var all sync.WaitGroup
	var wrong atomic.Int64
	result := nanosecondsPer(goroutines*roundsEach, func() {
		for first := range goroutines {
			all.Go(func() {
				key := first * 100
				for range roundsEach {
					if value, _ := shared.Load(key); value.(int) != key {
						wrong.Add(1)
					}
					if key++; key == 1000 {
						key = 0
					}
				}
			})
		}
		all.Wait()
	})
	check(wrong.Load() == 0)
	return result
}
