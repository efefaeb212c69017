package main

// A tree of goroutines, ten children each, with a million leaves that send their number up: the whole time.
func skynet() float64 {
	const leaves = 1_000_000
	sum := 0
	result := nanosecondsPer(1, func() {
		root := make(chan int)
		go skynetNode(root, 0, leaves)
		sum = <-root
	})
	check(sum == leaves*(leaves-1)/2)
	return result
}

func skynetNode(parent chan<- int, number, size int) {
	if size == 1 {
		parent <- number
		return
	}
	children := make(chan int)
	for child := range 10 {
		go skynetNode(children, number+child*size/10, size/10)
	}
	sum := 0
	for range 10 {
		sum += <-children
	}
	parent <- sum
}
