package main

// One of a million goroutines started and parked, when a million before them have left their stacks to be used again.
func spawnMillion() float64 {
	firstGate, secondGate := make(chan struct{}), make(chan struct{})
	ended := parkMillion(firstGate)
	close(firstGate)
	ended.Wait()
	result := nanosecondsPer(million, func() {
		ended = parkMillion(secondGate)
	})
	close(secondGate)
	ended.Wait()
	return result
}
