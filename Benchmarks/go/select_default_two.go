package main

// One poll of two empty channels.
func selectDefaultTwo() float64 {
	const operations = 5_000_000
	first, second := make(chan int, 1), make(chan int, 1)
	misses := 0
	result := nanosecondsPer(operations, func() {
		for range operations {
			select {
			case <-first:
			case <-second:
			default:
				misses++
			}
		}
	})
	check(misses == operations)
	return result
}
