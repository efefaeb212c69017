package main

import "sync"

// One look at something that was done once.
func onceDone() float64 {
	const rounds = 200_000_000
	var once sync.Once
	count := 0
	result := nanosecondsPer(rounds, func() {
		for range rounds {
			once.Do(func() { count++ })
		}
	})
	check(count == 1)
	return result
}
