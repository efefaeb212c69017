package main

import "time"

// One timer created and stopped long before it is due.
func timerStop() float64 {
	const timers = 1_000_000
	stopped := 0
	result := nanosecondsPer(timers, func() {
		for range timers {
			timer := time.NewTimer(time.Second)
			if timer.Stop() {
				stopped++
			}
		}
	})
	check(stopped == timers)
	return result
}
