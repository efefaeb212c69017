/// A program that times itself.
struct Workload: Sendable {
    let name: String
    /// Runs on the plain main thread; all others run in a goroutine, as Go's main does.
    var onMainThread = false
    /// Returns nanoseconds per operation, or for the whole where the workload is one operation.
    let run: @Sendable () -> Double
}

/// In the order of the table that compare prints. The names are those of the Go twin.
let workloads = [
    Workload(name: "unbuffered-ping-pong") { unbufferedPingPong(roundTrips: 1_000_000) },
    Workload(name: "buffered-same-goroutine", run: bufferedSameGoroutine),
    Workload(name: "producer-consumer") { producerConsumer(items: 3_000_000) },
    Workload(name: "four-by-four", run: fourByFour),
    Workload(name: "fan-in", run: fanIn),
    Workload(name: "spawn-wait-group", run: spawnWaitGroup),
    Workload(name: "spawn-join", run: spawnJoin),
    Workload(name: "yield-two", run: yieldTwo),
    Workload(name: "yield-alone", run: yieldAlone),
    Workload(name: "select-ping-pong", run: selectPingPong),
    Workload(name: "select-one-ready", run: selectOneReady),
    Workload(name: "select-both-ready", run: selectBothReady),
    Workload(name: "select-default-one", run: selectDefaultOne),
    Workload(name: "select-default-two", run: selectDefaultTwo),
    Workload(name: "ring", run: ring),
    Workload(name: "prime-sieve", run: primeSieve),
    Workload(name: "skynet", run: skynet),
    Workload(name: "wake-million", run: wakeMillion),
    Workload(name: "spawn-million", run: spawnMillion),
    Workload(name: "timer-stop", run: timerStop),
    Workload(name: "sleepers", run: sleepers),
    Workload(name: "cpu-bound", run: cpuBound),
    Workload(name: "mixed", run: mixed),
    // What a user tries first: no goroutine around it, so a thread has to wait and be woken.
    Workload(name: "main-thread-consumer", onMainThread: true) { producerConsumer(items: 300_000) },
    Workload(name: "main-thread-ping-pong", onMainThread: true) { unbufferedPingPong(roundTrips: 100_000) },
]

/// The time that `body` takes, divided by the number of operations in it.
func nanoseconds(per operations: Int, _ body: () -> Void) -> Double {
    ContinuousClock().measure(body) / .nanoseconds(1) / Double(operations)
}

/// Stops a run whose result is wrong: its time would mean nothing.
func check(_ condition: Bool) {
    precondition(condition, "wrong result")
}
