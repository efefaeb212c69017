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
	return readByEight(func(key int) int {
		value, _ := shared.Load(key)
		return value.(int)
	})
}

// The same of a map under a mutex.
func dictionaryRead() float64 {
	var mutex sync.Mutex
	guarded := map[int]int{}
	for key := range 1000 {
		guarded[key] = key
	}
	return readByEight(func(key int) int {
		mutex.Lock()
		defer mutex.Unlock()
		return guarded[key]
	})
}

func readByEight(read func(int) int) float64 {
	const goroutines, roundsEach = 8, 1_000_000
	var all sync.WaitGroup
	var wrong atomic.Int64
	result := nanosecondsPer(goroutines*roundsEach, func() {
		for first := range goroutines {
			all.Go(func() {
				key := first * 100
				for range roundsEach {
					if read(key) != key {
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
