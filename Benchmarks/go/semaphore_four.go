package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// One acquisition and release by any of eight goroutines of a semaphore of four.
func semaphoreFour() float64 {
	const goroutines, roundsEach = 8, 500_000
	slots := newWeighted(4)
	var served atomic.Int64
	var all sync.WaitGroup
	result := nanosecondsPer(goroutines*roundsEach, func() {
		for range goroutines {
			all.Go(func() {
				for range roundsEach {
					check(slots.acquire(context.Background(), 1) == nil)
					slots.release(1)
				}
				served.Add(roundsEach)
			})
		}
		all.Wait()
	})
	check(served.Load() == goroutines*roundsEach)
	return result
}

// weighted does what golang.org/x/sync/semaphore does, which is no part of the standard library: a mutex, a count and a list of channels.
type weighted struct {
	size, taken int64
	mutex       sync.Mutex
	waiters     []waiter
}

type waiter struct {
	count int64
	ready chan struct{}
}

func newWeighted(size int64) *weighted { return &weighted{size: size} }

func (s *weighted) acquire(ctx context.Context, count int64) error {
	done := ctx.Done()
	s.mutex.Lock()
	if s.size-s.taken >= count && len(s.waiters) == 0 {
		s.taken += count
		s.mutex.Unlock()
		return nil
	}
	ready := make(chan struct{})
	s.waiters = append(s.waiters, waiter{count, ready})
	s.mutex.Unlock()
	select {
	case <-done:
		panic("not part of the workload")
	case <-ready:
		return nil
	}
}

func (s *weighted) release(count int64) {
	s.mutex.Lock()
	s.taken -= count
	for len(s.waiters) > 0 && s.size-s.taken >= s.waiters[0].count {
		s.taken += s.waiters[0].count
		close(s.waiters[0].ready)
		s.waiters = s.waiters[1:]
	}
	s.mutex.Unlock()
}
