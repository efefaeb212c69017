package main

import (
	"sync"
	"time"
)

// A hundred thousand goroutines that sleep 10 ms, from the first start to the last end: the whole time.
func sleepers() float64 {
	return nanosecondsPer(1, func() {
		var sleeping sync.WaitGroup
		for range 100_000 {
			sleeping.Go(func() { time.Sleep(10 * time.Millisecond) })
		}
		sleeping.Wait()
	})
}
