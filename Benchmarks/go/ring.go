package main

// One hop of the only token in a ring of a thousand goroutines.
func ring() float64 {
	const size, laps = 1000, 1000
	first := make(chan int)
	left := first
	for range size - 1 {
		input, output := left, make(chan int)
		go func() {
			for token := range input {
				output <- token + 1
			}
			close(output)
		}()
		left = output
	}
	last, token := left, 0
	result := nanosecondsPer(size*laps, func() {
		for range laps {
			first <- token
			token = <-last + 1
		}
	})
	close(first)
	<-last // until all of them have ended
	check(token == size*laps)
	return result
}
