import CSP

// Programs with a race: memory, channels, timers, threads and tasks: see RacePrograms.swift.

let racyPrograms: [String: @Sendable () -> Void] = [
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
    "racy-task": {
        let shared = Shared(), done = Channel<Void>()
        Task {
            shared.value = 1
            try await done.send(())
        }
        shared.value = 2
        done.receive()
    },
    "racy-map": {
        let shared = Shared()
        apart({ shared.map["a"] = 1 }, { shared.map["b"] = 2 })
    },
    "racy-map-read": {
        let shared = Shared()
        apart({ shared.map["a"] = 1 }, { shared.value = shared.map.count })
    },
    "racy-append": {
        let shared = Shared()
        apart({ shared.list.append(1) }, { shared.list.append(2) })
    },
    "racy-append-while-reading": {
        let shared = Shared()
        apart({ shared.list.append(1) }, { for n in shared.list { shared.value += n } })
    },
    "racy-string": {
        let shared = Shared()
        apart({ shared.text += "a" }, { shared.text += "b" })
    },
    // What a closure captures by reference, as Go's loop variables were before Go 1.22.
    "racy-captured-loop-variable": {
        nonisolated(unsafe) var i = 0
        let done = WaitGroup(), seen = SharedAtomic(0)
        while unsafe i < 3 {
            done.go { seen.add(unsafe i) }
            unsafe i += 1
        }
        done.wait()
    },
    "racy-read-before-close": {
        let shared = Shared(), closed = Channel<Never>()
        both(
            {
                shared.value = 1
                closed.close()
            },
            {
                if shared.value == 1 { return }
                closed.receive()
            })
    },
    "racy-write-after-close": {
        let shared = Shared(), closed = Channel<Never>()
        both(
            {
                closed.close()
                shared.value = 1
            },
            {
                closed.receive()
                shared.value = 2
            })
    },
    "racy-write-after-send": {
        let shared = Shared(), channel = Channel<Int>(capacity: 1)
        both(
            {
                channel <- 1
                shared.value = 1
            },
            {
                channel.receive()
                shared.value = 2
            })
    },
    "racy-timer-function": {
        let shared = Shared()
        _ = Time.Timer(.milliseconds(10)) { shared.value = 1 }
        // After it was started, so that nothing has told the function of this.
        shared.value = 2
        Time.sleep(for: .milliseconds(50))
    },
    "racy-after-cancel": {
        let shared = Shared()
        let (context, cancel) = Context.background.withCancel()
        both(
            {
                cancel()
                shared.value = 1
            },
            {
                context.done.receive()
                shared.value = 2
            })
    },
    "racy-default": {
        let shared = Shared(), ready = Channel<Never>()
        both(
            {
                shared.value = 1
                ready.close()
            },
            {
                // Goes on whether it is closed or not.
                let early = shared.value
                select {
                    Receive(ready) { _ in }
                    Default { print(early) }
                }
            })
    },
    "racy-plain-thread": {
        let shared = Shared(), ended = Channel<Never>()
        startThread {
            shared.value = 1
            ended.close()
        }
        shared.value = 2
        ended.receive()
    },
    // Whose timers are in one heap.
    "racy-sleepers": {
        let shared = Shared()
        useOnce { Time.sleep(for: .milliseconds(1)) }
        both(
            {
                shared.value = 1
                Time.sleep(for: .milliseconds(1))
            },
            {
                Time.sleep(for: .milliseconds(20))
                shared.value = 2
            })
    },
    "racy-timers": {
        let shared = Shared()
        useOnce { Time.Timer(.seconds(100)).stop() }
        apart(
            {
                shared.value = 1
                Time.Timer(.seconds(100)).stop()
            },
            {
                Time.Timer(.seconds(100)).stop()
                shared.value = 2
            })
    },
    "racy-after-in-select": {
        let shared = Shared()
        useOnce { select { After(.milliseconds(1)) {} } }
        both(
            {
                shared.value = 1
                select { After(.milliseconds(1)) {} }
            },
            {
                select { After(.milliseconds(20)) {} }
                shared.value = 2
            })
    },
    "racy-after-the-timer-was-started": {
        let shared = Shared(), timer = Time.Timer(.milliseconds(10))
        both({ shared.value = 1 }) {
            timer.channel.receive()
            shared.value = 2
        }
    },
    // What the one who loses does is not before what the winner's partner does.
    "racy-select-loser": {
        let shared = Shared(), a = Channel<Int>(), b = Channel<Int>(), quit = Channel<Never>()
        let done = WaitGroup()
        done.go {
            select {
                Send(1, to: a) {}
                Receive(quit) { _ in shared.value = 1 }
            }
        }
        done.go {
            select {
                Send(2, to: b) {}
                Receive(quit) { _ in shared.value = 2 }
            }
        }
        quit.close()
        done.wait()
    },
    // A buffer of two lets two in.
    "racy-buffer-of-two-as-a-lock": {
        let shared = Shared(), lock = Channel<Void>(capacity: 2), inside = Meeting()
        let work: @Sendable () -> Void = {
            lock.send(())
            shared.value += 1
            inside.wait()
            lock.receive()
        }
        both(work, work)
    },
    "racy-atomic-flag-too-early": {
        let shared = Shared(), flag = SharedAtomic(0)
        both(
            {
                flag.store(1)
                shared.value = 1
            },
            {
                while flag.load() == 0 { Goroutine.yield() }
                shared.value = 2
            })
    },
    "racy-blocking": {
        let shared = Shared()
        both({ blocking { shared.value = 1 } }, { blocking { shared.value = 2 } })
    },
    "racy-locked-threads": {
        let shared = Shared()
        both(
            { Goroutine.withLockedThread { shared.value = 1 } }, { Goroutine.withLockedThread { shared.value = 2 } })
    },
    "racy-task-and-goroutine": {
        let shared = Shared(), done = WaitGroup()
        done.add()
        Task {
            shared.value = 1
            done.done()
        }
        done.go { shared.value = 2 }
        done.wait()
    },
    "racy-run-blocking": {
        let shared = Shared()
        both({ runBlocking { () async in shared.value = 1 } }, { runBlocking { () async in shared.value = 2 } })
    },
    "racy-run": {
        let shared = Shared()
        let write: @Sendable () -> Void = { runBlocking { () async in await Goroutine.run { shared.value += 1 } } }
        both(write, write)
    },
    "racy-context-value": {
        enum Key: ContextKey { typealias Value = Shared }
        let context = Context.background.withValue(Key.self, Shared())
        both({ context[Key.self]!.value = 1 }, { context[Key.self]!.value = 2 })
    },
]
