package main

import (
	"sync"
	"sync/atomic"
)

// One operation by any of eight goroutines on a map of a thousand keys: of ten, eight read, one stores, and one removes.
func mapMixed() float64 {
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
				for round := range roundsEach {
					switch round % 10 {
					case 4:
						shared.Store(key, key)
					case 9:
						shared.Delete(key)
					default:
						if value, ok := shared.Load(key); ok && value.(int) != key {
							wrong.Add(1)
						}
					}
					key = (key + 7) % 1000
				}
			})
		}
		all.Wait()
	})
	check(wrong.Load() == 0)
	return result
}
