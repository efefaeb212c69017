import CSP

// For ThreadSanitizer: see Scripts/check-races. What the compiler would refuse is hidden from it behind an unchecked class.

private final class Shared: @unchecked Sendable {
    var value = 0
    var isReady = false
}

/// Two goroutines that no order stands between, on however many processors, one after the other if it comes to that.
private func both(_ first: @escaping @Sendable () -> Void, _ second: @escaping @Sendable () -> Void) {
    let done = WaitGroup()
    done.go(first)
    done.go(second)
    done.wait()
}

let racePrograms: [String: @Sendable () -> Void] = [
    "racy-counter": {
        let shared = Shared()
        both({ shared.value += 1 }, { shared.value += 1 })
    },
    "racy-after-sleep": {
        let shared = Shared()
        go { shared.value = 1 }
        Time.sleep(for: .milliseconds(50))
        shared.value += 1
    },
    // The second one gets the stack and the control block of the first.
    "racy-one-after-the-other": {
        let shared = Shared()
        go { shared.value = 1 }
        Time.sleep(for: .milliseconds(20))
        go { shared.value = 2 }
        Time.sleep(for: .milliseconds(20))
    },
    "racy-flag": {
        let shared = Shared()
        both(
            {
                shared.value = 7
                shared.isReady = true
            },
            { if shared.isReady { print(shared.value) } })
    },
    "racy-before-the-lock": {
        let shared = Shared(), mutex = CSP.Mutex()
        both(
            {
                shared.value += 1
                mutex.lock()
                mutex.unlock()
            },
            {
                shared.value += 1
                mutex.lock()
                mutex.unlock()
            })
    },
    "racy-task": {
        let shared = Shared(), done = Channel<Void>()
        Task {
            shared.value = 1
            try await done.send(())
        }
        shared.value = 2
        done.receive()
    },
    "clean-counter": {
        let shared = Shared(), mutex = CSP.Mutex()
        let done = WaitGroup()
        for _ in 0..<100 {
            done.go {
                mutex.lock()
                shared.value += 1
                mutex.unlock()
            }
        }
        done.wait()
        shared.value += 1
    },
    "clean-hand-over": {
        let channel = Channel<Shared>(), back = Channel<Shared>(capacity: 1)
        go {
            for shared in channel {
                shared.value += 1
                back <- shared
            }
        }
        var shared = Shared()
        for _ in 0..<100 {
            shared.value += 1
            channel <- shared
            shared = (<-back)!
        }
        channel.close()
    },
    "clean-close": {
        let shared = Shared(), closed = Channel<Never>()
        go {
            shared.value = 1
            closed.close()
        }
        closed.receive()
        shared.value += 1
    },
    "clean-once": {
        let shared = Shared(), once = Once()
        let done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                once.run { shared.value = 1 }
                if shared.value != 1 { fatalError() }
            }
        }
        done.wait()
    },
    "clean-context": {
        let shared = Shared()
        let (context, cancel) = Context.background.withCancel()
        let seen = Channel<Int>()
        context.afterDone { seen <- shared.value }
        shared.value = 1
        cancel()
        print(seen.receive()!)
        shared.value = 2
        let timer = Channel<Int>()
        _ = Time.Timer(.milliseconds(1)) { timer <- shared.value }
        print(timer.receive()!)
    },
    "clean-yield": {
        let shared = Shared(), turn = SharedAtomic(0)
        both(
            {
                shared.value = 1
                turn.store(1)
            },
            {
                while turn.load() == 0 { Goroutine.yield() }
                shared.value += 1
            })
    },
    "clean-task": {
        let there = Channel<Shared>(), back = Channel<Shared>(capacity: 1)
        Task {
            for try await shared in there {
                shared.value += await Goroutine.run { 1 }
                try await back.send(shared)
            }
            back.close()
        }
        var shared = Shared()
        for _ in 0..<100 {
            shared.value += 1
            there <- shared
            shared = (<-back)!
        }
        there.close()
        _ = back.receive()
        runBlocking { () async in shared.value += 1 }
        shared.value += 1
    },
]
