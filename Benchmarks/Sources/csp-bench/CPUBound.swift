import CSP

/// The Mandelbrot set's size in pixels, its rows dealt out to 64 goroutines that never wait: the whole time.
func cpuBound() -> Double {
    let goroutines = 64
    var inside = 0
    let result = nanoseconds(per: 1) {
        let counts = Channel<Int>()
        for first in 0..<goroutines {
            go {
                var count = 0
                for row in stride(from: first, to: mandelbrotSide, by: goroutines) { count += mandelbrotRow(row) }
                counts <- count
            }
        }
        for _ in 0..<goroutines { inside += (<-counts)! }
    }
    // Its area is 1.5066 of the 9 units of the square; too few iterations make it larger.
    let share = Double(inside) / Double(mandelbrotSide * mandelbrotSide)
    check(share > 0.167 && share < 0.170)
    return result
}

private let mandelbrotSide = 1024

/// How many points of one row of the square from -2-1.5i to 1+1.5i are in the set.
private func mandelbrotRow(_ row: Int) -> Int {
    let iterations = 1000
    let scale = 3 / Double(mandelbrotSide)
    let cy = Double(row) * scale - 1.5
    var inside = 0
    for column in 0..<mandelbrotSide {
        let cx = Double(column) * scale - 2
        var x = 0.0, y = 0.0
        var iteration = 0
        while iteration < iterations && x * x + y * y <= 4 {
            (x, y) = (x * x - y * y + cx, 2 * x * y + cy)
            iteration += 1
        }
        if iteration == iterations { inside += 1 }
    }
    return inside
}
