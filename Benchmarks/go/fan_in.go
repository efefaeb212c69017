package main

// One item from one of a hundred producers to a single consumer, unbuffered.
func fanIn() float64 {
	const producers, itemsEach = 100, 10_000
	channel := make(chan int)
	sum := 0
	result := nanosecondsPer(producers*itemsEach, func() {
		for range producers {
			go func() {
				for i := range itemsEach {
					channel <- i
				}
			}()
		}
		for range producers * itemsEach {
			sum += <-channel
		}
	})
	check(sum == producers*itemsEach*(itemsEach-1)/2)
	return result
}
