package main

import (
	"sync"
	"time"
)

const million = 1_000_000

// One of a million goroutines woken from its receive by a close, until the last of them has ended.
func wakeMillion() float64 {
	gate := make(chan struct{})
	ended := parkMillion(gate)
	// The last of them have said that they run, and have yet to park.
	time.Sleep(100 * time.Millisecond)
	return nanosecondsPer(million, func() {
		close(gate)
		ended.Wait()
	})
}

// parkMillion starts a million goroutines that wait at gate, and returns when all of them have run that far.
func parkMillion(gate <-chan struct{}) *sync.WaitGroup {
	var started, ended sync.WaitGroup
	started.Add(million)
	ended.Add(million)
	for range million {
		go func() {
			started.Done()
			<-gate
			ended.Done()
		}()
	}
	started.Wait()
	return &ended
}
