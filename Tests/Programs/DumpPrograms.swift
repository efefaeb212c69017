import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Programs that show their goroutines.
let dumpPrograms: [String: @Sendable () -> Void] = [
    "dump-states": {
        startStates()
        print(
            dumpOnce { text in
                ["chan receive", "chan send", "select", "select (no cases)", "sleep", "sync.WaitGroup.Wait", "syscall"]
                    .allSatisfy { text.contains("[\($0)]:") } && text.contains("\"spinner\" [running]:\n")
                    // On a loaded machine it may not answer in time.
                    && text.contains("test_programs.spin()\n")
            })
        print("goes on")
    },
    // Asked by a goroutine, about one that waits for seconds and one that has not run.
    "dump-times": {
        Scheduler.maxProcs = 1
        go("patient") { _ = Channel<Int>().receive() }
        Goroutine.run("asker") {
            Time.sleep(for: .seconds(2))
            go("fresh") {}
            print(Goroutine.dump())
        }
    },
    "dump-deep": {
        go("deep", stackSize: 16 << 20) { print(dig(10_000)) }
        print(dumpOnce { $0.contains("[chan receive]:") })
    },
    "quit": {
        standInTheWay()
        quitAndWait()
    },
    // Every processor computes, and nobody ever yields.
    "quit-busy": {
        for _ in 0..<Scheduler.maxProcs + 1 { go("busy") { spin() } }
        Time.sleep(for: .milliseconds(50))
        quitAndWait()
    },
    // Nothing can ever run again.
    "quit-stuck": {
        go("stuck") { Channel<Int>().receive() }
        Time.sleep(for: .milliseconds(20))
        kill(getpid(), SIGQUIT)
        while true { pause() }
    },
    "quit-many": {
        parkMany(100_000)
        quitAndWait()
    },
    "quit-own-handler-before": {
        _ = signal(SIGQUIT) { _ in _exit(42) }
        Goroutine.run {}
        quitAndWait()
    },
    "quit-own-handler-after": {
        Goroutine.run {}
        _ = signal(SIGQUIT) { _ in _exit(42) }
        quitAndWait()
    },
    "quit-ignored": {
        _ = signal(SIGQUIT, SIG_IGN)
        Goroutine.run {}
        kill(getpid(), SIGQUIT)
        print("goes on")
    },
    "quit-in-a-child": {
        Goroutine.run {}
        let child = forkForTest()
        if child == 0 {
            kill(getpid(), SIGQUIT)
            while true { pause() }
        }
        var status: Int32 = 0
        // SAFETY: `status` lives through the call.
        _ = unsafe waitpid(child, &status, 0)
        print("signal", status & 0x7f)
    },
    "deadlock-message": {
        standInTheWay()
        Goroutine.run { Dump.endInDeadlock() }
    },
    "dump-memory": {
        parkMany(100_000)
        _ = Goroutine.dump()
        let before = peakKilobytes()
        let dump = Goroutine.dump()
        print("characters", dump.utf8.count)
        print("kilobytes", peakKilobytes() - before)
    },
    "dump-memory-first": {
        parkMany(100_000)
        let before = peakKilobytes()
        let dump = Goroutine.dump()
        print("characters", dump.utf8.count)
        print("kilobytes", peakKilobytes() - before)
    },
    // A program that blocks, and one that times a system call, must not notice.
    "dump-does-not-disturb": {
        let finished = WaitGroup()
        finished.go("sleeper") {
            let left = sleep(1)
            print("left", left)
        }
        finished.go("poller") {
            let result = poll(nil, 0, 700)
            print("poll", result)
        }
        Time.sleep(for: .milliseconds(50))
        for _ in 0..<20 {
            _ = Goroutine.dump()
            Time.sleep(for: .milliseconds(10))
        }
        finished.wait()
    },
]

/// One of each.
private func startStates() {
    let never = Channel<Int>(), group = WaitGroup()
    group.add()
    go("receiver") { _ = never.receive() }
    go("sender") { waitToSend(Channel<Int>()) }
    go("selector") {
        select {
            Receive(never) { _ in }
            Receive(never) { _ in }
        }
    }
    go("hopeless") { select([AnySelectCase<Void>]()) }
    go("sleeper") { Time.sleep(for: .seconds(3600)) }
    go("waiter") { group.wait() }
    go("runner") { Goroutine.run("inner") { _ = never.receive() } }
    go("spinner") { spin() }
    go("system call") { sleep(3600) }
    // Later, since it may come before the others in a queue behind the spinner.
    Time.sleep(for: .milliseconds(20))
}

/// A dump for which `condition` holds, or the last of many. It is asked without how long each has waited, which a loaded
/// machine makes long enough to be shown.
private func dumpOnce(_ condition: (String) -> Bool) -> String {
    for _ in 0..<300 {
        let text = Goroutine.dump()
        if condition(text.replacing(/, [0-9]+s\]:/, with: "]:")) { return text }
        Time.sleep(for: .milliseconds(10))
    }
    return Goroutine.dump()
}

@inline(never)
private func dig(_ depth: Int) -> Int {
    if depth == 0 { return Channel<Int>().receive() ?? 0 }
    return dig(depth - 1) + 1
}

/// Goroutines in various states.
private func standInTheWay() {
    let gate = Channel<Int>()
    go("receiver") { _ = gate.receive() }
    go("sender") { waitToSend(Channel<Int>()) }
    go { Time.sleep(for: .seconds(3600)) }
    go("spinner") { spin() }
    go("system call") { sleep(3600) }
    Time.sleep(for: .milliseconds(50))
}

@inline(never)
private func waitToSend(_ channel: Channel<Int>) {
    channel.send(1)
    print("unreachable")
}

@inline(never)
private func spin() {
    let counter = SharedAtomic(0)
    while counter.add(1) >= 0 {}
}

private func quitAndWait() {
    kill(getpid(), SIGQUIT)
    while true { sleep(1) }
}

private func parkMany(_ count: Int) {
    let gate = Channel<Never>(), parked = SharedAtomic(0)
    for _ in 0..<count {
        go {
            parked.add(1)
            gate.receive()
        }
    }
    while parked.load() < count { Time.sleep(for: .milliseconds(1)) }
}

/// Glibc's overlay hides `fork`.
private func forkForTest() -> pid_t {
    typealias Fork = @convention(c) () -> pid_t
    // SAFETY: the C library has it, with this type.
    return unsafe unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)()
}
