package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// One round trip of any of four ping-pong pairs beside eight goroutines that never wait, counted over one second.
//
// What the eight got done goes to standard error, because pairs that starve them would look fast.
func mixed() float64 {
	var stop atomic.Bool
	var roundTrips, chunks atomic.Int64
	elapsed := nanosecondsPer(1, func() {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				count, state := 0, uint64(1)
				for !stop.Load() {
					state = churn(state)
					count++
				}
				check(state != 0)
				chunks.Add(int64(count))
			})
		}
		for range 4 {
			all.Go(func() {
				ping, pong := make(chan int), make(chan int)
				go func() {
					for ball := range ping {
						pong <- ball
					}
				}()
				count := 0
				for !stop.Load() {
					ping <- count
					<-pong
					count++
				}
				close(ping)
				roundTrips.Add(int64(count))
			})
		}
		time.Sleep(time.Second)
		stop.Store(true)
		all.Wait()
	})
	fmt.Fprintf(os.Stderr, "mixed: %.2f ns per round trip, %.2f ns per CPU-bound chunk\n",
		elapsed/float64(roundTrips.Load()), elapsed/float64(chunks.Load()))
	return elapsed / float64(roundTrips.Load())
}

// churn is some microseconds of work that no compiler can shorten: a xorshift generator.
func churn(state uint64) uint64 {
	for range 10_000 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	return state
}
