import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

private enum Local { @TaskLocal static var number = 0 }

/// Programs about threads, processors and their ends: those that end in a deadlock, those that must not, and those that run out of something.
let schedulerPrograms: [String: @Sendable () -> Void] = [
    // Deadlocks.
    "deadlock-main": { _ = Channel<Int>().receive() },
    "deadlock-run": { Goroutine.run("stuck") { _ = Channel<Int>().receive() } },
    "deadlock-group": {
        let group = WaitGroup()
        for _ in 0..<3 { group.go("waiter") { _ = Channel<Int>().receive() } }
        group.wait()
    },
    "deadlock-late": {
        // Only after some life: timers, threads that block, processors that idle.
        let results = Channel<Int>()
        for _ in 0..<20 {
            go {
                Time.sleep(for: .milliseconds(5))
                blocking { _ = usleep(5000) }
                results <- 1
            }
        }
        for _ in 0..<21 { results.receive() }
    },
    "deadlock-locked": { Goroutine.run { Goroutine.withLockedThread { _ = Channel<Int>().receive() } } },
    "deadlock-select": { Goroutine.run { select { Receive(nil as Channel<Int>?) { _ in } } } },
    "deadlock-after-thread": {
        // A foreign thread that might have woken somebody, and ends.
        let channel = Channel<Int>()
        startThread { _ = usleep(300_000) }
        channel.receive()
    },
    "deadlock-after-retirement": {
        // Once the threads that the goroutines needed have ended.
        let channel = Channel<Int>()
        go {
            let group = WaitGroup()
            for _ in 0..<10 { group.go { blocking { _ = usleep(100_000) } } }
            group.wait()
            Time.sleep(for: .seconds(7))
        }
        channel.receive()
    },
    // None.
    "foreign-thread-sends": {
        let channel = Channel<Int>()
        startThread {
            _ = usleep(300_000)
            channel <- 7
        }
        print("received", (<-channel)!)
    },
    "task-sends": {
        let channel = Channel<Int>()
        Task {
            try await Task.sleep(for: .milliseconds(300))
            try await channel.send(7)
        }
        print("received", (<-channel)!)
    },
    // The scheduler begins where something is bound.
    "begins-with-locals": {
        let channel = Channel<Int>()
        Local.$number.withValue(7) { go { channel <- Local.number } }
        print("received", (<-channel)!)
    },
    "locked-sleeper-sends": {
        // It sets its timer without a processor, when nobody else is awake.
        let channel = Channel<Int>()
        go {
            Goroutine.withLockedThread { blocking { Time.sleep(for: .milliseconds(200)) } }
            channel <- 7
        }
        print("received", (<-channel)!)
    },
    "sleeper-sends": {
        let channel = Channel<Int>()
        go {
            Time.sleep(for: .milliseconds(300))
            channel <- 7
        }
        print("received", (<-channel)!)
    },
    "timer-sends": { print("received", (<-Time.after(.milliseconds(300))) != nil ? 7 : 0) },
    "timer-runs": {
        let channel = Channel<Int>()
        _ = Time.Timer(.milliseconds(300)) { channel <- 7 }
        print("received", (<-channel)!)
    },
    "blocked-sends": {
        let channel = Channel<Int>()
        go {
            _ = usleep(300_000)
            channel <- 7
        }
        print("received", (<-channel)!)
    },
    "blocking-sends": {
        let channel = Channel<Int>()
        go {
            blocking { _ = usleep(300_000) }
            channel <- 7
        }
        print("received", (<-channel)!)
    },
    "many-in-turn": {
        // A thousand moments at which all but one are asleep.
        let first = Channel<Int>(), second = Channel<Int>()
        go { for value in first { second <- value + 1 } }
        var value = 0
        for _ in 0..<1000 {
            first <- value
            _ = usleep(100)
            value = (<-second)!
        }
        print("received", value == 1000 ? 7 : value)
    },
    // Limits.
    "too-many-threads": {
        Scheduler.maxThreads = 8
        let group = WaitGroup()
        for _ in 0..<20 { group.go { blocking { _ = usleep(500_000) } } }
        group.wait()
    },
    "no-threads": { Scheduler.maxThreads = 0 },
    "threads-come-and-go": {
        let group = WaitGroup()
        for _ in 0..<30 { group.go { blocking { _ = usleep(300_000) } } }
        group.wait()
        let most = threadCount()
        _ = usleep(8_000_000)
        print("most", most)
        print("left", threadCount())
        let again = WaitGroup()
        for _ in 0..<30 { again.go { blocking { _ = usleep(100_000) } } }
        again.wait()
        print("again", threadCount())
    },
    "little-address-space": {
        // From here on there is no room for another thread's stack.
        Goroutine.run {}
        waitUntilTheMonitorWaits()
        limitAddressSpace(megabytes: 0)
        let group = WaitGroup()
        for _ in 0..<20 { group.go { blocking { _ = usleep(500_000) } } }
        group.wait()
    },
    // Who watched the clock while all were asleep computes from now on; another one must watch it.
    "clock-watched": { computeBesideSleeper(after: {}) },
    // The same when it is given that while it lingers.
    "clock-watched-by-who-lingers": { computeBesideSleeper(after: { Goroutine.run("short") {} }) },
    // How late a goroutine is that sleeps for 10 ms at a time, beside others that compute or block without end: the median and the 99th percentile of
    // microseconds. `go` says how Go does (Benchmarks/go/lateness).
    "lateness": {
        Scheduler.maxProcs = 2
        for _ in 0..<8 {
            go("computing") {
                var state: UInt64 = 1
                while true { state = churn(state) }
            }
        }
        for _ in 0..<50 { go("blocking") { while true { _ = usleep(200_000) } } }
        Goroutine.run("sleeping") {
            var late: [Int] = []
            let clock = ContinuousClock()
            for _ in 0..<500 {
                let start = clock.now
                Time.sleep(for: .milliseconds(10))
                late.append(Int((clock.now - start - .milliseconds(10)) / .microseconds(1)))
            }
            late.sort()
            print("median", late[250])
            print("percentile-99", late[495])
        }
    },
    "no-address-space": {
        limitAddressSpace(megabytes: 4096)
        Goroutine.run {}
    },
    "less-address-space": {
        limitAddressSpace(megabytes: 64 << 10)
        let group = WaitGroup(), ended = SharedAtomic(0)
        for _ in 0..<1000 {
            group.go {
                Time.sleep(for: .milliseconds(1))
                ended.add(1)
            }
        }
        group.wait()
        print("ended", ended.load())
    },
    "trace": {
        Goroutine.run { Time.sleep(for: .milliseconds(350)) }
    },
    "burst": {
        // Stacks of 64 KiB each, for many goroutines at once, and what is left of them.
        let count = Int(unsafe getenv("CSP_BURST").map { unsafe String(cString: $0) } ?? "2000") ?? 2000
        let before = residentKilobytes()
        let gate = Channel<Never>(), all = WaitGroup()
        let ready = SharedAtomic(0)
        for _ in 0..<count {
            all.go {
                ready.add(touch(pages: 15) == 120 ? 1 : 0)
                gate.receive()
            }
        }
        while ready.load() < count { _ = usleep(1000) }
        print("burst", residentKilobytes() - before)
        gate.close()
        all.wait()
        for _ in 0..<200 where residentKilobytes() - before > count { _ = usleep(100_000) }
        print("after", residentKilobytes() - before)
        // They are usable as before.
        print("sum", Goroutine.run { Int(touch(pages: 15)) })
    },
]

private func computeBesideSleeper(after prepare: () -> Void) {
    Scheduler.maxProcs = 2
    let isAwake = SharedAtomic(0), computing = WaitGroup()
    go("sleeping") {
        Time.sleep(for: .milliseconds(400))
        isAwake.store(1)
    }
    // Until the monitor sleeps, too.
    _ = usleep(200_000)
    prepare()
    computing.go("computing") {
        let end = ContinuousClock.now + .seconds(20)
        var state: UInt64 = 1
        while isAwake.load() == 0, ContinuousClock.now < end { state = churn(state) }
        print("awake", isAwake.load())
    }
    computing.wait()
}

@inline(never)
private func churn(_ seed: UInt64) -> UInt64 {
    var state = seed
    for _ in 0..<10_000 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
    }
    return state
}

/// Writes to so many pages of stack.
@inline(never)
private func touch(pages: Int) -> UInt8 {
    if pages == 0 { return 0 }
    let page = InlineArray<4096, UInt8>(repeating: UInt8(truncatingIfNeeded: pages))
    return touch(pages: pages - 1) &+ page[Int(UInt8.random(in: 0...255))]
}

/// As `ulimit -v` does.
private func limitAddressSpace(megabytes: Int) {
    var limit = rlimit(rlim_cur: rlim_t(megabytes) << 20, rlim_max: rlim_t(megabytes) << 20)
    // SAFETY: `limit` lives through the call.
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
}

/// A thread that the runtime knows nothing of.
func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    // SAFETY: the thread takes over the box.
    unsafe pthread_create(
        &thread, nil,
        { raw in
            unsafe Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    _ = pthread_detach(thread)
}

/// The number behind `name` in /proc/self/status.
private func status(_ name: String) -> Int {
    // SAFETY: a file of our own, closed at the end; the buffer lives through each call.
    guard let file = unsafe fopen("/proc/self/status", "r") else { return -1 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        if text.hasPrefix("\(name):") { return Int(text.split(whereSeparator: { !$0.isNumber })[0]) ?? -1 }
    }
    return -1
}

func residentKilobytes() -> Int { status("VmRSS") }
func threadCount() -> Int { status("Threads") }
