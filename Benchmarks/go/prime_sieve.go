package main

// The first 2000 primes by a chain of goroutines, each of which removes the multiples of one prime: the whole time.
func primeSieve() float64 {
	const primes = 2000
	prime := 0
	result := nanosecondsPer(1, func() {
		numbers := naturals()
		for range primes {
			prime = <-numbers
			numbers = removingMultiples(prime, numbers)
		}
	})
	check(prime == 17_389)
	return result
}

func naturals() <-chan int {
	numbers := make(chan int)
	go func() {
		for number := 2; ; number++ {
			numbers <- number
		}
	}()
	return numbers
}

func removingMultiples(prime int, numbers <-chan int) <-chan int {
	rest := make(chan int)
	go func() {
		for number := range numbers {
			if number%prime != 0 {
				rest <- number
			}
		}
	}()
	return rest
}
