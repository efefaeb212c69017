package main

// One round trip of a value over two unbuffered channels between two goroutines.
func unbufferedPingPong(roundTrips int) float64 {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for ball := range ping {
			pong <- ball
		}
	}()
	defer close(ping)
	return nanosecondsPer(roundTrips, func() {
		for i := range roundTrips {
			ping <- i
			<-pong
		}
	})
}
