package main

import "sync"

// One lock and unlock of a mutex that nobody else wants.
func mutexUncontended() float64 {
	const rounds = 50_000_000
	var mutex sync.Mutex
	counter := 0
	result := nanosecondsPer(rounds, func() {
		for range rounds {
			mutex.Lock()
			counter++
			mutex.Unlock()
		}
	})
	check(counter == rounds)
	return result
}
