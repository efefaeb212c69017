package main

// One goroutine started and its result received before the next one is started.
func spawnJoin() float64 {
	const goroutines = 1_000_000
	results := make(chan int)
	sum := 0
	result := nanosecondsPer(goroutines, func() {
		for i := range goroutines {
			go func() { results <- i }()
			sum += <-results
		}
	})
	check(sum == goroutines*(goroutines-1)/2)
	return result
}
