package main

// One poll of an empty channel.
func selectDefaultOne() float64 {
	const operations = 20_000_000
	channel := make(chan int, 1)
	misses := 0
	result := nanosecondsPer(operations, func() {
		for range operations {
			select {
			case <-channel:
			default:
				misses++
			}
		}
	})
	check(misses == operations)
	return result
}
