package main

// One round trip of a value over two unbuffered channels, each side receiving by a select of two.
func selectPingPong() float64 {
	const roundTrips = 500_000
	ping, pong, quit := make(chan int), make(chan int), make(chan struct{})
	go func() {
		for {
			select {
			case ball := <-ping:
				pong <- ball
			case <-quit:
				return
			}
		}
	}()
	defer close(quit)
	return nanosecondsPer(roundTrips, func() {
		for i := range roundTrips {
			ping <- i
			select {
			case <-pong:
			case <-quit:
			}
		}
	})
}
