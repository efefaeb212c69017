package main

// The Mandelbrot set's size in pixels, its rows dealt out to 64 goroutines that never wait: the whole time.
func cpuBound() float64 {
	const goroutines = 64
	inside := 0
	result := nanosecondsPer(1, func() {
		counts := make(chan int)
		for first := range goroutines {
			go func() {
				count := 0
				for row := first; row < mandelbrotSide; row += goroutines {
					count += mandelbrotRow(row)
				}
				counts <- count
			}()
		}
		for range goroutines {
			inside += <-counts
		}
	})
	// Its area is 1.5066 of the 9 units of the square; too few iterations make it larger.
	share := float64(inside) / (mandelbrotSide * mandelbrotSide)
	check(share > 0.167 && share < 0.170)
	return result
}

const mandelbrotSide = 1024

// mandelbrotRow returns how many points of one row of the square from -2-1.5i to 1+1.5i are in the set.
func mandelbrotRow(row int) int {
	const iterations = 1000
	const scale = 3.0 / mandelbrotSide
	cy := float64(row)*scale - 1.5
	inside := 0
	for column := range mandelbrotSide {
		cx := float64(column)*scale - 2
		x, y := 0.0, 0.0
		iteration := 0
		for iteration < iterations && x*x+y*y <= 4 {
			x, y = x*x-y*y+cx, 2*x*y+cy
			iteration++
		}
		if iteration == iterations {
			inside++
		}
	}
	return inside
}
