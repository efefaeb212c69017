package main

// A send and a receive that never wait: a channel's own cost.
func bufferedSameGoroutine() float64 {
	const operations = 5_000_000
	channel := make(chan int, 1)
	sum := 0
	result := nanosecondsPer(operations, func() {
		for i := range operations {
			channel <- i
			sum += <-channel
		}
	})
	check(sum == operations*(operations-1)/2)
	return result
}
