import CSP

// Programs without a race: memory, channels, timers, threads and tasks: see RacePrograms.swift.

let cleanPrograms: [String: @Sendable () -> Void] = [
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
    "clean-places-of-an-array": {
        let places = UnsafeMutableBufferPointer<Int>.allocate(capacity: 20)
        unsafe places.initialize(repeating: 0)
        nonisolated(unsafe) let mine = unsafe places
        let done = WaitGroup()
        for n in 0..<20 { done.go { unsafe mine[n] = n } }
        done.wait()
        print(unsafe places.reduce(0, +))
        unsafe places.deallocate()
    },
    "clean-captured-constant": {
        let done = WaitGroup(), seen = SharedAtomic(0)
        for i in 0..<20 { done.go { seen.add(i) } }
        done.wait()
    },
    // A receive from an unbuffered channel is before the end of the send.
    "clean-receive-before-send-ends": {
        let shared = Shared(), channel = Channel<Int>()
        go {
            shared.value = 1
            channel.receive()
        }
        channel <- 1
        shared.value += 1
    },
    // The k-th receive is before the end of send k + capacity: a buffer of one is a lock.
    "clean-buffer-as-a-lock": {
        let shared = Shared(), lock = Channel<Void>(capacity: 1), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                lock.send(())
                shared.value += 1
                lock.receive()
            }
        }
        done.wait()
        shared.value += 1
    },
    "clean-buffered": {
        let channel = Channel<Shared>(capacity: 4)
        go {
            for n in 0..<50 {
                let shared = Shared()
                shared.value = n
                channel <- shared
            }
            channel.close()
        }
        for shared in channel { shared.value += 1 }
    },
    "clean-select": {
        let a = Channel<Shared>(), b = Channel<Shared>(capacity: 1), done = WaitGroup()
        done.go { for _ in 0..<50 { a <- Shared() } }
        done.go { for _ in 0..<50 { b <- Shared() } }
        for _ in 0..<100 {
            select {
                Receive(a) { $0!.value += 1 }
                Receive(b) { $0!.value += 1 }
            }
        }
        done.wait()
    },
    "clean-select-send": {
        let a = Channel<Shared>(), never = Channel<Int>()
        go {
            for _ in 0..<50 {
                let shared = Shared()
                shared.value = 1
                select {
                    Send(shared, to: a) {}
                    Receive(never) { _ in }
                }
            }
            a.close()
        }
        for shared in a { shared.value += 1 }
    },
    "clean-timer": {
        let shared = Shared(), timer = Time.Timer(.milliseconds(1)), over = Channel<Never>()
        shared.value = 1
        go {
            timer.channel.receive()
            over.close()
        }
        over.receive()
        shared.value = 2
    },
    "clean-timer-function": {
        let shared = Shared(), over = Channel<Never>()
        shared.value = 1
        let timer = Time.Timer(.milliseconds(1)) {
            shared.value += 1
            over.close()
        }
        over.receive()
        shared.value += 1
        timer.stop()
    },
    "clean-sleepers": {
        let shared = Shared(), mutex = CSP.Mutex(), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                Time.sleep(for: .milliseconds(1))
                mutex.withLock { _ in shared.value += 1 }
            }
        }
        done.wait()
    },
    "clean-acquire-in-select": {
        let counter = CSP.Mutex(0), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                select {
                    Acquire(counter) { $0 += 1 }
                    After(.seconds(100)) {}
                }
            }
        }
        done.wait()
        print(counter.withLock { $0 })
    },
    "clean-run": {
        let shared = Shared()
        shared.value = 1
        Goroutine.run { shared.value += 1 }
        shared.value += 1
    },
    "clean-many-readers": {
        let shared = Shared(), ready = Channel<Never>(), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                ready.receive()
                if shared.value != 1 { fatalError() }
            }
        }
        shared.value = 1
        ready.close()
        done.wait()
        shared.value = 2
    },
    "clean-workers": {
        let jobs = Channel<Shared>(), results = Channel<Shared>(capacity: 4), done = WaitGroup()
        for _ in 0..<4 {
            done.go {
                for job in jobs {
                    job.value += 1
                    results <- job
                }
            }
        }
        go {
            for _ in 0..<50 { jobs <- Shared() }
            jobs.close()
            done.wait()
            results.close()
        }
        for result in results { result.value += 1 }
    },
    "clean-plain-thread": {
        let there = Channel<Shared>(), back = Channel<Shared>()
        startThread {
            for shared in there {
                shared.value += 1
                back <- shared
            }
            back.close()
        }
        var shared = Shared()
        for _ in 0..<50 {
            shared.value += 1
            there <- shared
            shared = back.receive()!
        }
        there.close()
        _ = back.receive()
    },
    "clean-locked-thread": {
        let shared = Shared(), channel = Channel<Int>(), back = Channel<Int>()
        go {
            Goroutine.withLockedThread {
                for _ in channel {
                    shared.value += 1
                    back <- shared.value
                }
            }
            back.close()
        }
        for n in 0..<20 {
            shared.value += 1
            channel <- n
            back.receive()
        }
        channel.close()
        back.receive()
    },
    // Swift makes it when it is first asked for.
    "clean-static": {
        enum Made {
            static let shared = {
                let shared = Shared()
                shared.value = 1
                return shared
            }()
        }
        let done = WaitGroup()
        for _ in 0..<20 { done.go { if Made.shared.value != 1 { fatalError() } } }
        done.wait()
    },
    // The k-th receive is before the end of send k + capacity: that place of the ring is free again.
    "clean-ring": {
        let ring = [Shared(), Shared(), Shared()], free = Channel<Void>(capacity: 3), full = Channel<Int>(capacity: 3)
        go {
            for n in 0..<60 {
                free.send(())
                ring[n % 3].value = n
                full <- n
            }
            full.close()
        }
        for n in full {
            if ring[n % 3].value != n { fatalError() }
            ring[n % 3].value = 0
            free.receive()
        }
    },
    "clean-try": {
        let channel = Channel<Shared>(capacity: 1)
        go {
            for n in 0..<50 {
                let shared = Shared()
                shared.value = n
                while !channel.trySend(shared) { Goroutine.yield() }
            }
            channel.close()
        }
        var isOpen = true
        while isOpen {
            switch channel.tryReceive() {
            case .value(let shared): shared.value += 1
            case .empty: Goroutine.yield()
            case .closed: isOpen = false
            }
        }
    },
    "clean-select-loser": {
        let shared = Shared(), never = Channel<Int>(), quit = Channel<Never>(), over = Channel<Never>()
        go {
            select {
                Send(1, to: never) {}
                Receive(quit) { _ in shared.value += 1 }
            }
            over.close()
        }
        shared.value = 1
        quit.close()
        over.receive()
        shared.value += 1
    },
    // Whoever arms a timer has done so before anybody receives its value, parked or not, or selecting.
    "clean-armed-by-another": {
        let shared = Shared(), timer = Time.Timer(.seconds(100)), next = Channel<Never>(), over = Channel<Never>()
        timer.stop()
        go {
            timer.channel.receive()
            shared.value += 1
            next.close()
            select {
                Receive(timer.channel) { _ in shared.value += 1 }
                After(.seconds(100)) {}
            }
            over.close()
        }
        Time.sleep(for: .milliseconds(5))
        shared.value = 1
        timer.reset(.milliseconds(1))
        next.receive()
        Time.sleep(for: .milliseconds(5))
        shared.value += 1
        timer.reset(.milliseconds(1))
        over.receive()
        shared.value += 1
        timer.reset(.milliseconds(1))
        Time.sleep(for: .milliseconds(5))
        timer.channel.receive()
        shared.value += 1
    },
    "clean-ticker": {
        let shared = Shared(), ticker = Time.Ticker(.milliseconds(1)), over = Channel<Never>()
        go {
            for _ in 0..<5 {
                ticker.channel.receive()
                shared.value += 1
            }
            ticker.stop()
            over.close()
        }
        over.receive()
        shared.value += 1
    },
    "clean-time-after": {
        let shared = Shared(), over = Channel<Never>()
        shared.value = 1
        let due = Time.after(.milliseconds(1))
        go {
            due.receive()
            shared.value += 1
            over.close()
        }
        over.receive()
        shared.value += 1
    },
    // Timers of many in one heap, which grows, and in which they move.
    "clean-many-timers": {
        let done = WaitGroup()
        for n in 0..<100 {
            done.go {
                var mine = n
                Time.sleep(for: .microseconds(100 * (n % 7)))
                mine += 1
                select { After(.microseconds(100 * (n % 5))) { mine += 1 } }
                let timer = Time.Timer(.microseconds(100 * (n % 3)))
                if n % 2 == 0 { timer.channel.receive() } else { timer.stop() }
                if mine != n + 2 { fatalError() }
            }
        }
        done.wait()
    },
    "clean-deadline": {
        let shared = Shared(), over = Channel<Never>()
        shared.value = 1
        let (context, cancel) = Context.background.withTimeout(.milliseconds(5))
        go {
            context.done.receive()
            shared.value += 1
            over.close()
        }
        over.receive()
        shared.value += 1
        cancel()
    },
    "clean-context-value": {
        enum Key: ContextKey { typealias Value = Shared }
        let shared = Shared(), done = WaitGroup()
        shared.value = 1
        let context = Context.background.withValue(Key.self, shared)
        for _ in 0..<20 { done.go { if context[Key.self]!.value != 1 { fatalError() } } }
        done.wait()
        shared.value = 2
    },
    "clean-blocking": {
        let shared = Shared(), channel = Channel<Int>(), done = WaitGroup()
        for n in 0..<20 {
            done.go {
                blocking { shared.value += n }
                channel <- n
            }
            channel.receive()
        }
        done.wait()
        shared.value += 1
    },
    "clean-run-blocking": {
        let shared = Shared(), over = Channel<Never>()
        go {
            shared.value = 1
            runBlocking { () async in
                shared.value += 1
                await Task.yield()
                shared.value += 1
            }
            shared.value += 1
            over.close()
        }
        over.receive()
        shared.value += 1
    },
    "clean-task-executor": {
        let shared = Shared()
        runBlocking { () async in
            shared.value = 1
            await withTaskExecutorPreference(Scheduler.taskExecutor) {
                shared.value += 1
                await Task.yield()
                shared.value += 1
            }
            shared.value += 1
        }
        shared.value += 1
    },
    "clean-async-select": {
        let channel = Channel<Shared>(), back = Channel<Shared>(capacity: 1)
        Task {
            for _ in 0..<20 {
                try await select {
                    Receive(channel) { shared in
                        let shared = shared!
                        shared.value += 1
                        back <- shared
                    }
                    After(.seconds(100)) {}
                }
            }
            back.close()
        }
        var shared = Shared()
        for _ in 0..<20 {
            shared.value += 1
            channel <- shared
            shared = back.receive()!
        }
        _ = back.receive()
    },
    "clean-async-sequence": {
        let sequence = AsyncStream<Shared> { continuation in
            for n in 0..<20 {
                let shared = Shared()
                shared.value = n
                continuation.yield(shared)
            }
            continuation.finish()
        }
        for shared in ReceiveChannel(sequence) { shared.value += 1 }
    },
    // Stacks and control blocks that goroutines have one after the other, without any order.
    "clean-used-again": {
        let sum = SharedAtomic(0)
        for n in 0..<300 {
            go {
                var numbers = [Int](repeating: n, count: 10)
                let deep = unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: 100) { room in
                    unsafe room.initialize(repeating: n)
                    return unsafe room[n % 100]
                }
                numbers[n % 10] = deep
                sum.add(numbers[n % 10] == n ? 1 : 0)
            }
            if n % 50 == 49 { Time.sleep(for: .milliseconds(1)) }
        }
        while sum.load() < 300 { Time.sleep(for: .milliseconds(1)) }
    },
    // What is on a stack goes along with it from thread to thread.
    "clean-migration": {
        let done = WaitGroup()
        for n in 0..<8 {
            done.go {
                var numbers = [n]
                for step in 0..<50 {
                    numbers.append(numbers.last! + step)
                    if step % 10 == 0 { Time.sleep(for: .microseconds(50)) } else { Goroutine.yield() }
                    if step % 25 == 0 { blocking { numbers[0] += 1 } }
                }
                if numbers.count != 51 { fatalError() }
            }
        }
        done.wait()
    },
]
