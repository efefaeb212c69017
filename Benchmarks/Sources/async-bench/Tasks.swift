// The workloads that start tasks.

func spawnGroup() async -> Double {
    let batches = 200, batchSize = 1000
    return await nanoseconds(per: batches * batchSize) {
        for _ in 0..<batches {
            await withDiscardingTaskGroup { group in
                for _ in 0..<batchSize { group.addTask {} }
            }
        }
    }
}

func spawnJoin() async -> Double {
    let tasks = 200_000
    var sum = 0
    let result = await nanoseconds(per: tasks) {
        for i in 0..<tasks { sum += await Task { i }.value }
    }
    check(sum == tasks * (tasks - 1) / 2)
    return result
}

func yieldTwo() async -> Double {
    let yieldsEach = 200_000
    return await nanoseconds(per: 2 * yieldsEach) {
        await withDiscardingTaskGroup { group in
            for _ in 0..<2 {
                group.addTask { for _ in 0..<yieldsEach { await Task.yield() } }
            }
        }
    }
}

func yieldAlone() async -> Double {
    let yields = 500_000
    return await nanoseconds(per: yields) {
        for _ in 0..<yields { await Task.yield() }
    }
}

func skynet() async -> Double {
    let leaves = 1_000_000
    var sum = 0
    let result = await nanoseconds(per: 1) { sum = await skynetNode(0, leaves) }
    check(sum == leaves * (leaves - 1) / 2)
    return result
}

@Sendable
private func skynetNode(_ number: Int, _ size: Int) async -> Int {
    if size == 1 { return number }
    return await withTaskGroup(of: Int.self) { group in
        for child in 0..<10 {
            group.addTask { await skynetNode(number + child * size / 10, size / 10) }
        }
        return await group.reduce(0, +)
    }
}

func sleepers() async -> Double {
    await nanoseconds(per: 1) {
        await withDiscardingTaskGroup { group in
            for _ in 0..<100_000 {
                group.addTask { try? await Task.sleep(for: .milliseconds(10)) }
            }
        }
    }
}

func cpuBound() async -> Double {
    let tasks = 64
    var inside = 0
    let result = await nanoseconds(per: 1) {
        inside = await withTaskGroup(of: Int.self) { group in
            for first in 0..<tasks {
                group.addTask {
                    var count = 0
                    for row in stride(from: first, to: mandelbrotSide, by: tasks) { count += mandelbrotRow(row) }
                    return count
                }
            }
            return await group.reduce(0, +)
        }
    }
    let share = Double(inside) / Double(mandelbrotSide * mandelbrotSide)
    check(share > 0.167 && share < 0.170)
    return result
}

private let mandelbrotSide = 1024

/// As in csp-bench.
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
