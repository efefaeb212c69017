/// A program that times itself.
struct Workload: Sendable {
    let name: String
    /// How many operations it does, unless the command line asks for another number; nil where it is one whole that cannot be cut.
    var operations: Int?
    /// Runs on the plain main thread; all others run in a goroutine, as Go's main does.
    var onMainThread = false
    /// Does that many operations; returns nanoseconds per operation, or for the whole where the workload is one operation.
    let run: @Sendable (Int) -> Double
}

/// In the order of the table that compare prints. The names and sizes are those of the Go twin.
let workloads = [
    Workload(name: "unbuffered-ping-pong", operations: 1_000_000, run: unbufferedPingPong),
    Workload(name: "buffered-same-goroutine", operations: 5_000_000, run: bufferedSameGoroutine),
    Workload(name: "producer-consumer", operations: 3_000_000, run: producerConsumer),
    Workload(name: "four-by-four", operations: 2_000_000, run: fourByFour),
    Workload(name: "fan-in", operations: 1_000_000, run: fanIn),
    Workload(name: "spawn-wait-group", operations: 1_000_000, run: spawnWaitGroup),
    Workload(name: "spawn-join", operations: 1_000_000, run: spawnJoin),
    Workload(name: "yield-two", operations: 2_000_000, run: yieldTwo),
    Workload(name: "yield-alone", operations: 2_000_000, run: yieldAlone),
    Workload(name: "select-ping-pong", operations: 500_000, run: selectPingPong),
    Workload(name: "select-one-ready", operations: 3_000_000, run: selectOneReady),
    Workload(name: "select-both-ready", operations: 3_000_000, run: selectBothReady),
    Workload(name: "select-default-one", operations: 20_000_000, run: selectDefaultOne),
    Workload(name: "select-default-two", operations: 5_000_000, run: selectDefaultTwo),
    Workload(name: "ring", operations: 1_000_000, run: ring),
    Workload(name: "prime-sieve", operations: 2000, run: primeSieve),
    Workload(name: "skynet", operations: 1_000_000, run: skynet),
    Workload(name: "wake-million", operations: 1_000_000, run: wakeMillion),
    Workload(name: "spawn-million", operations: 1_000_000, run: spawnMillion),
    Workload(name: "timer-stop", operations: 1_000_000, run: timerStop),
    Workload(name: "sleepers", operations: 100_000, run: sleepers),
    Workload(name: "cpu-bound") { _ in cpuBound() },
    Workload(name: "mixed") { _ in mixed() },
    Workload(name: "mutex-uncontended", operations: 50_000_000, run: mutexUncontended),
    Workload(name: "mutex-contended", operations: 16_000_000, run: mutexContended),
    Workload(name: "once", operations: 200_000_000, run: onceDone),
    Workload(name: "rwmutex-read", operations: 16_000_000, run: rwMutexRead),
    Workload(name: "semaphore", operations: 4_000_000, run: semaphoreFour),
    Workload(name: "map-read", operations: 8_000_000, run: mapRead),
    Workload(name: "map-mixed", operations: 8_000_000, run: mapMixed),
    // What a user tries first: no goroutine around it, so a thread has to wait and be woken.
    Workload(name: "main-thread-consumer", operations: 300_000, onMainThread: true, run: producerConsumer),
    Workload(name: "main-thread-ping-pong", operations: 100_000, onMainThread: true, run: unbufferedPingPong),
]

/// The time that `body` takes, divided by the number of operations in it.
func nanoseconds(per operations: Int, _ body: () -> Void) -> Double {
    ContinuousClock().measure(body) / .nanoseconds(1) / Double(operations)
}

/// Stops a run whose result is wrong: its time would mean nothing.
func check(_ condition: Bool) {
    precondition(condition, "wrong result")
}
