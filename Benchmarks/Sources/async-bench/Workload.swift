/// A program that times itself.
struct Workload: Sendable {
    let name: String
    /// Returns nanoseconds per operation, or for the whole where the workload is one operation.
    let run: @Sendable () async -> Double
}

/// Those of csp-bench's workloads that Swift's own concurrency can express, by their names there.
let workloads = [
    Workload(name: "unbuffered-ping-pong", run: unbufferedPingPong),
    Workload(name: "buffered-same-goroutine", run: bufferedSameTask),
    Workload(name: "producer-consumer", run: producerConsumer),
    Workload(name: "fan-in", run: fanIn),
    Workload(name: "spawn-wait-group", run: spawnGroup),
    Workload(name: "spawn-join", run: spawnJoin),
    Workload(name: "yield-two", run: yieldTwo),
    Workload(name: "yield-alone", run: yieldAlone),
    Workload(name: "ring", run: ring),
    Workload(name: "prime-sieve", run: primeSieve),
    Workload(name: "skynet", run: skynet),
    Workload(name: "sleepers", run: sleepers),
    Workload(name: "cpu-bound", run: cpuBound),
    Workload(name: "mutex-uncontended", run: mutexUncontended),
    Workload(name: "mutex-contended", run: mutexContended),
    Workload(name: "map-read", run: mapRead),
    Workload(name: "map-mixed", run: mapMixed),
]

/// The time that `body` takes, divided by the number of operations in it.
func nanoseconds(per operations: Int, _ body: () async -> Void) async -> Double {
    let start = ContinuousClock.now
    await body()
    return (ContinuousClock.now - start) / .nanoseconds(1) / Double(operations)
}

/// Stops a run whose result is wrong: its time would mean nothing.
func check(_ condition: Bool) {
    precondition(condition, "wrong result")
}
