package main

// One select of two channels, both ready, and the send that refills the chosen one.
func selectBothReady() float64 {
	const operations = 3_000_000
	first, second := make(chan int, 1), make(chan int, 1)
	first <- 0
	second <- 0
	return nanosecondsPer(operations, func() {
		for range operations {
			select {
			case value := <-first:
				first <- value + 1
			case value := <-second:
				second <- value + 1
			}
		}
	})
}
