package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// One increment by any of eight goroutines under one mutex.
//
// The longest wait of each goroutine's goes to standard error, because a mutex that starves them would look fast.
func mutexContended() float64 {
	const goroutines, roundsEach = 8, 2_000_000
	var mutex, longestMutex sync.Mutex
	counter, longest := 0, time.Duration(0)
	var all sync.WaitGroup
	result := nanosecondsPer(goroutines*roundsEach, func() {
		for range goroutines {
			all.Go(func() {
				worst := time.Duration(0)
				for round := range roundsEach {
					// Every one would measure the clock instead.
					if round%64 == 0 {
						start := time.Now()
						mutex.Lock()
						counter++
						mutex.Unlock()
						worst = max(worst, time.Since(start))
					} else {
						mutex.Lock()
						counter++
						mutex.Unlock()
					}
				}
				longestMutex.Lock()
				longest = max(longest, worst)
				longestMutex.Unlock()
			})
		}
		all.Wait()
	})
	check(counter == goroutines*roundsEach)
	fmt.Fprintf(os.Stderr, "mutex-contended: the longest wait was %.1f µs\n", float64(longest.Nanoseconds())/1000)
	return result
}
