package main

import "runtime"

// One yield with nobody to yield to.
func yieldAlone() float64 {
	const yields = 2_000_000
	return nanosecondsPer(yields, func() {
		for range yields {
			runtime.Gosched()
		}
	})
}
