package main

// One select of two channels, always the first of them ready, and the send that refills it.
func selectOneReady() float64 {
	const operations = 3_000_000
	full, empty := make(chan int, 1), make(chan int, 1)
	full <- 0
	return nanosecondsPer(operations, func() {
		for range operations {
			select {
			case value := <-full:
				full <- value + 1
			case value := <-empty:
				empty <- value + 1
			}
		}
	})
}
