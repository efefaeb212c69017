package main

import (
	"sync"
	"sync/atomic"
)

// One item from any of four producers to any of four consumers over one buffer of 128.
func fourByFour() float64 {
	const itemsEach = 500_000
	channel := make(chan int, 128)
	var sum atomic.Int64
	var producers, consumers sync.WaitGroup
	result := nanosecondsPer(4*itemsEach, func() {
		for range 4 {
			producers.Go(func() {
				for i := range itemsEach {
					channel <- i
				}
			})
			consumers.Go(func() {
				subtotal := 0
				for item := range channel {
					subtotal += item
				}
				sum.Add(int64(subtotal))
			})
		}
		producers.Wait()
		close(channel)
		consumers.Wait()
	})
	check(sum.Load() == 4*itemsEach*(itemsEach-1)/2)
	return result
}
