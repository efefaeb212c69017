package main

import (
	"runtime"
	"sync"
)

// One yield, with another goroutine yielding as well.
func yieldTwo() float64 {
	const yieldsEach = 1_000_000
	return nanosecondsPer(2*yieldsEach, func() {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				for range yieldsEach {
					runtime.Gosched()
				}
			})
		}
		both.Wait()
	})
}
