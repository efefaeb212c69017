package main

// One item from a producer to a consumer over a buffer of 128.
func producerConsumer(items int) float64 {
	channel := make(chan int, 128)
	sum := 0
	result := nanosecondsPer(items, func() {
		go func() {
			for i := range items {
				channel <- i
			}
			close(channel)
		}()
		for item := range channel {
			sum += item
		}
	})
	check(sum == items*(items-1)/2)
	return result
}
