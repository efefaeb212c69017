import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Programs that are traced, profiled and counted. Those that write a file find its path in CSP_TEST_FILE.
let watchPrograms: [String: @Sendable () -> Void] = [
    "traced-work": { tracedWork() },
    "trace-start-stop": {
        for _ in 0..<3 {
            try! Trace.start(writingTo: testFile)
            tracedWork()
            try! Trace.stop()
        }
        print("traced")
    },
    "trace-of-the-busy": {
        // They never look further than each other.
        let stop = SharedAtomic(0), wanted = WaitGroup()
        for _ in 0..<2 { wanted.go("busy") { while stop.load() == 0 { Goroutine.yield() } } }
        usleep(50_000)
        try! Trace.start(writingTo: testFile)
        usleep(50_000)
        try! Trace.stop()
        stop.store(1)
        wanted.wait()
    },
    "traces-at-once": {
        // Each is either refused or complete.
        let wanted = WaitGroup(), made = SharedAtomic(0)
        for number in 0..<4 {
            wanted.go {
                for round in 0..<10 {
                    let file = "\(testFile)-\(number)-\(round)"
                    do throws(TraceFailure) {
                        try Trace.start(writingTo: file)
                        tracedWork()
                        try Trace.stop()
                        made.add(1)
                    } catch {
                        guard case .cannotWrite = error else { continue }
                        print(error)
                    }
                }
            }
        }
        wanted.wait()
        print(made.load() > 0)
    },
    "flight-and-crash-of-a-traced-run": {
        FlightRecorder.start()
        Goroutine.run("culprit") {
            pingPong(10)
            let empty: [Int] = []
            print(empty[Int.random(in: 1...2)])
        }
    },
    "trace-mistakes": {
        func told(_ body: () throws(TraceFailure) -> Void) {
            do throws(TraceFailure) {
                try body()
                print("fine")
            } catch { print(error) }
        }
        told { () throws(TraceFailure) in try Trace.stop() }
        told { () throws(TraceFailure) in try FlightRecorder.write(to: testFile) }
        told { () throws(TraceFailure) in try Trace.start(writingTo: "/nowhere/at/all") }
        told { () throws(TraceFailure) in try Trace.start(writingTo: "/dev/full") }
        told { () throws(TraceFailure) in try Trace.start(writingTo: testFile) }
        tracedWork()
        told { () throws(TraceFailure) in try Trace.stop() }
        told { () throws(TraceFailure) in try Trace.start(writingTo: testFile) }
        told { () throws(TraceFailure) in try Trace.stop() }
    },
    "flight-on-demand": {
        FlightRecorder.start(keeping: .seconds(60), bytes: 1 << 20)
        // Many times what there is room for.
        pingPong(200_000)
        Goroutine.run("late") { pingPong(10) }
        try! FlightRecorder.write(to: testFile)
        FlightRecorder.stop()
        print(Trace.isOn)
    },
    "flight-and-trace": {
        FlightRecorder.start(bytes: 1 << 20)
        pingPong(1000)
        try! Trace.start(writingTo: testFile)
        tracedWork()
        try! Trace.stop()
        print(Trace.isOn)
        FlightRecorder.stop()
        print(Trace.isOn)
    },
    "flight-at-crash": {
        FlightRecorder.start(crashFile: testFile)
        tracedWork()
        Goroutine.run("culprit") {
            pingPong(10)
            let empty: [Int] = []
            print(empty[Int.random(in: 1...2)])
        }
    },
    "flight-at-deadlock": {
        FlightRecorder.start(crashFile: testFile)
        tracedWork()
        let never = Channel<Int>()
        Goroutine.run("forlorn") { _ = never.receive() }
    },
    "metrics": {
        Scheduler.measuresWaiting = true
        let gate = Channel<Void>(), mutex = Mutex(0), wanted = WaitGroup()
        for _ in 0..<7 { go { gate.receive() } }
        for _ in 0..<3 {
            wanted.go {
                for _ in 0..<50 { mutex.withLock { _ in Time.sleep(for: .microseconds(20)) } }
            }
        }
        let timer = Time.Timer(.seconds(3600))
        wanted.wait()
        let metrics = Scheduler.metrics
        print("receivers", metrics.waiting["chan receive"] ?? 0)
        print("goroutines", metrics.goroutines)
        print("started", metrics.goroutinesStarted)
        print("processors", metrics.processors.count)
        print("switches", metrics.processors.map(\.switches).reduce(0, +))
        print("stacks", metrics.stacks)
        print("stackBytes", metrics.stackBytes)
        print("timers", metrics.timers)
        print("threads", metrics.threads)
        print("contentions", metrics.contentions)
        print("contentionMicroseconds", Int(metrics.contentionTime / .microseconds(1)))
        print("latencies", metrics.latency.counts.reduce(0, +))
        print("wakeups", metrics.wakeups)
        timer.stop()
        Scheduler.measuresWaiting = false
        let before = Scheduler.metrics.latency.counts.reduce(0, +)
        pingPong(100)
        print("later", Scheduler.metrics.latency.counts.reduce(0, +) - before)
    },
    "block-profile": {
        Scheduler.blockProfilePeriod = .nanoseconds(1)
        pingPong(1000)
        slowReceive()
        printProfile(.block)
    },
    "mutex-profile": {
        Scheduler.mutexProfileFraction = 1
        let mutex = Mutex(0), wanted = WaitGroup()
        for _ in 0..<3 { wanted.go { for _ in 0..<10 { holdForLong(mutex) } } }
        wanted.wait()
        printProfile(.mutex)
    },
    "cpu-profile": {
        let stop = Channel<Void>()
        go("worker") {
            while true {
                select {
                    Receive(stop) { _ in }
                    Default {}
                }
                burnThree()
                burnOne()
            }
        }
        let profile = try! CPUProfiler.run(for: .seconds(2), hertz: 250)
        let stacks = symbolicated(profile.entries.map(\.stack))
        var shares: [String: Int] = [:], all = 0, labelled = 0
        for (entry, frames) in zip(profile.entries, stacks) {
            all += entry.count
            if entry.label == "worker" { labelled += entry.count }
            for name in ["burnOne", "burnThree"] where frames.contains(where: { $0.function.contains(name) }) {
                shares[name, default: 0] += entry.count
            }
        }
        print("samples", all)
        print("labelled", labelled)
        print("one", shares["burnOne"] ?? 0)
        print("three", shares["burnThree"] ?? 0)
        print("lost", profile.lost)
    },
    "cpu-profile-busy": {
        signal(SIGPROF) { _ in }
        do { _ = try CPUProfiler.run(for: .milliseconds(10)) } catch { print(error) }
        signal(SIGPROF, SIG_DFL)
        let first = try! CPUProfiler.run(for: .milliseconds(10))
        print("lost", first.lost)
    },
]

private var testFile: String {
    // SAFETY: getenv returns a C string or null.
    unsafe String(cString: getenv("CSP_TEST_FILE"))
}

/// Something of everything that a trace tells.
private func tracedWork() {
    let numbers = Channel<Int>(), mutex = Mutex(0), wanted = WaitGroup()
    go("producer") {
        Trace.withRegion("produce \"all\"") { for number in 0..<100 { numbers.send(number) } }
        numbers.close()
    }
    let task = Trace.task("task")
    wanted.go { for number in numbers { mutex.withLock { $0 += number } } }
    for _ in 0..<3 {
        wanted.go {
            for _ in 0..<20 {
                mutex.withLock { $0 += Int(work(2000)) }
                Time.sleep(for: .microseconds(50))
                Goroutine.yield()
            }
            Trace.log("one is done")
        }
    }
    Goroutine.run("computes") { _ = work(2_000_000) }
    Goroutine.run("blocks") { for _ in 0..<3 { _ = blocking { usleep(1000) } } }
    wanted.wait()
    task.end()
}

private func pingPong(_ count: Int) {
    let there = Channel<Int>(), back = Channel<Int>()
    go {
        for number in there { back.send(number) }
        back.close()
    }
    Goroutine.run {
        for number in 0..<count {
            there.send(number)
            back.receive()
        }
        there.close()
    }
}

@inline(never)
private func work(_ count: Int) -> Double {
    var value = 1.0
    for number in 0..<count { value = value.squareRoot() + Double(number & 7) }
    return value
}

// Not calls of one function, which the optimiser would make the same.
@inline(never)
private func burnOne() { if stir(1, 20_000) == 42 { print("never") } }
@inline(never)
private func burnThree() { if stir(3, 60_000) == 43 { print("never") } }

@inline(__always)
private func stir(_ seed: UInt64, _ rounds: Int) -> UInt64 {
    var state = seed
    var left = rounds
    while left > 0 {
        state = (state ^ state << 13) &* 0x9E37_79B9_7F4A_7C15
        left -= 1
    }
    return state
}

@inline(never)
private func slowReceive() {
    let values = Channel<Int>()
    go {
        Time.sleep(for: .milliseconds(50))
        values.send(1)
    }
    Goroutine.run { waitSlowly(values) }
}

@inline(never)
private func waitSlowly(_ values: Channel<Int>) {
    values.receive()
    print("received")
}

@inline(never)
private func holdForLong(_ mutex: Mutex<Int>) {
    mutex.withLock { value in
        value += 1
        Time.sleep(for: .milliseconds(1))
    }
    Goroutine.yield()
}

/// One line for each stack, the longest time first: times, microseconds, functions.
private func printProfile(_ profile: EventProfile) {
    let entries = profile.snapshot.sorted { $0.nanoseconds > $1.nanoseconds }
    let stacks = symbolicated(entries.map(\.stack))
    for (entry, frames) in zip(entries, stacks) {
        print(Int(entry.count), Int(entry.nanoseconds / 1000), frames.map(\.function).joined(separator: " < "))
    }
}

private func symbolicated(_ stacks: [[UInt]]) -> [[StackFrame]] {
    var symbolicator = Symbolicator()
    return stacks.map { symbolicator.places(of: $0).flatMap { $0 } }
}
