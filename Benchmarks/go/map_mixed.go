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
	return mixByEight(
		func(key int) (int, bool) {
			value, ok := shared.Load(key)
			if !ok {
				return 0, false
			}
			return value.(int), true
		},
		func(key, value int) { shared.Store(key, value) },
		func(key int) { shared.Delete(key) })
}

// The same on a map under a mutex.
func dictionaryMixed() float64 {
	var mutex sync.Mutex
	guarded := map[int]int{}
	for key := range 1000 {
		guarded[key] = key
	}
	return mixByEight(
		func(key int) (int, bool) {
			mutex.Lock()
			defer mutex.Unlock()
			value, ok := guarded[key]
			return value, ok
		},
		func(key, value int) {
			mutex.Lock()
			defer mutex.Unlock()
			guarded[key] = value
		},
		func(key int) {
			mutex.Lock()
			defer mutex.Unlock()
			delete(guarded, key)
		})
}

func mixByEight(read func(int) (int, bool), store func(int, int), remove func(int)) float64 {
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
						store(key, key)
					case 9:
						remove(key)
					default:
						if value, ok := read(key); ok && value != key {
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
