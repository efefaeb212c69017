import CSP

// For ThreadSanitizer: see Scripts/check-races. What the compiler would refuse is hidden from it behind an unchecked class.

private final class Shared: @unchecked Sendable {
    var value = 0
    var isReady = false
    var map: [String: Int] = [:]
    var list: [Int] = []
    var text = ""
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
    "racy-map": {
        let shared = Shared()
        both({ shared.map["a"] = 1 }, { shared.map["b"] = 2 })
    },
    "racy-map-read": {
        let shared = Shared()
        both({ shared.map["a"] = 1 }, { shared.value = shared.map.count })
    },
    "racy-append": {
        let shared = Shared()
        both({ shared.list.append(1) }, { shared.list.append(2) })
    },
    "racy-append-while-reading": {
        let shared = Shared()
        both({ shared.list.append(1) }, { for n in shared.list { shared.value += n } })
    },
    "racy-string": {
        let shared = Shared()
        both({ shared.text += "a" }, { shared.text += "b" })
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
    "racy-double-checked": {
        let shared = Shared(), mutex = CSP.Mutex()
        let initialize: @Sendable () -> Void = {
            if shared.isReady { return }
            mutex.withLock { _ in
                if !shared.isReady {
                    shared.value = 1
                    shared.isReady = true
                }
            }
        }
        // The first look of the one is beside the change of the other, unless that one has been through before: a third makes sure.
        let done = WaitGroup()
        for _ in 0..<3 { done.go(initialize) }
        done.wait()
    },
    "racy-different-locks": {
        let shared = Shared(), a = CSP.Mutex(), b = CSP.Mutex()
        both({ a.withLock { _ in shared.value += 1 } }, { b.withLock { _ in shared.value += 1 } })
    },
    "racy-after-the-lock": {
        let shared = Shared(), mutex = CSP.Mutex()
        both(
            {
                mutex.withLock { _ in }
                shared.value += 1
            },
            {
                mutex.withLock { _ in }
                shared.value += 1
            })
    },
    "racy-one-of-them-locks": {
        let shared = Shared(), mutex = CSP.Mutex()
        both({ mutex.withLock { _ in shared.value += 1 } }, { shared.value += 1 })
    },
    "racy-read-before-wait": {
        let shared = Shared(), done = WaitGroup()
        done.go { shared.value = 1 }
        let early = shared.value
        done.wait()
        print(early)
    },
    "racy-done-too-early": {
        let shared = Shared(), done = WaitGroup(), ended = Channel<Never>()
        done.add()
        go {
            done.done()
            shared.value = 1
            ended.close()
        }
        done.wait()
        shared.value = 2
        ended.receive()
    },
    "racy-other-once": {
        let shared = Shared(), a = Once(), b = Once()
        both({ a.run { shared.value = 1 } }, { b.run { shared.value = 2 } })
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
    "racy-put-and-used": {
        let pool = Pool { Shared() }
        let first = pool.take()
        let shared = first
        pool.put(first)
        both({ shared.value = 1 }, { pool.take().value = 2 })
    },
    "racy-error-group": {
        let shared = Shared(), group = ErrorGroup()
        for n in 0..<2 { group.go { shared.value = n } }
        try? group.wait()
    },
    "racy-results": {
        let shared = Shared()
        _ = try? withGoroutines { scope in try scope.map(0..<2) { n in shared.list.append(n) } }
    },
    "racy-condition": {
        let shared = Shared(), mutex = CSP.Mutex(false), condition = Condition(mutex)
        both(
            {
                mutex.withLock { $0 = true }
                condition.signal()
                shared.value = 1
            },
            {
                condition.wait(until: { $0 }, then: { _ in })
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
    "clean-read-write-lock": {
        let map = RWMutex([Int: Int]()), done = WaitGroup()
        for n in 0..<20 {
            done.go { map.withWriteLock { $0[n] = n } }
            done.go { _ = map.withReadLock { $0[n] } }
        }
        done.wait()
        print(map.withReadLock { $0.count })
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
    "clean-double-checked": {
        let shared = Shared(), isReady = SharedAtomic(0), mutex = CSP.Mutex()
        let done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                if isReady.load() == 0 {
                    mutex.withLock { _ in
                        if isReady.load() == 0 {
                            shared.value = 1
                            isReady.store(1)
                        }
                    }
                }
                if shared.value != 1 { fatalError() }
            }
        }
        done.wait()
    },
    "clean-read-after-wait": {
        let shared = Shared(), done = WaitGroup()
        done.go { shared.value = 1 }
        done.wait()
        shared.value += 1
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
    "clean-semaphore": {
        let shared = Shared(), one = Semaphore(1), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                one.acquire()
                shared.value += 1
                one.release()
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
    "clean-pool": {
        let pool = Pool { Shared() }, done = WaitGroup()
        for _ in 0..<50 {
            done.go {
                let shared = pool.take()
                shared.value += 1
                pool.put(shared)
            }
        }
        done.wait()
    },
    "clean-condition": {
        let shared = Shared(), turn = CSP.Mutex(0), condition = Condition(turn), done = WaitGroup()
        for n in 0..<10 {
            done.go {
                condition.wait(until: { $0 == n }, then: { _ in })
                shared.value += 1
                turn.withLock { $0 += 1 }
                condition.broadcast()
            }
        }
        done.wait()
        shared.value += 1
    },
    "clean-error-group": {
        let shared = Shared(), group = ErrorGroup(limit: 1)
        for _ in 0..<20 { group.go { shared.value += 1 } }
        try? group.wait()
        shared.value += 1
    },
    "clean-results": {
        let results = try? withGoroutines { scope in try scope.map(0..<20) { n in Shared() } }
        for shared in results! { shared.value += 1 }
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
    "clean-concurrent-map": {
        let map = ConcurrentMap<Int, Shared>(), done = WaitGroup()
        for n in 0..<20 {
            done.go {
                let shared = Shared()
                shared.value = n
                map[n] = shared
            }
            done.go { if let shared = map[n], shared.value != n { fatalError() } }
        }
        done.wait()
    },
    "clean-single-flight": {
        let flights = SingleFlight<Int, Shared>(), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                let (shared, _) = try! flights.run(1) {
                    let shared = Shared()
                    shared.value = 1
                    return shared
                }
                if shared.value != 1 { fatalError() }
            }
        }
        done.wait()
    },
    "clean-once-value": {
        let value = OnceValue {
            let shared = Shared()
            shared.value = 1
            return shared
        }
        let done = WaitGroup()
        for _ in 0..<20 { done.go { if value.value.value != 1 { fatalError() } } }
        done.wait()
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
]
