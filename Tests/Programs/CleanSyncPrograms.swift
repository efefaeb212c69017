import CSP

// Programs without a race: locks, groups, maps, pools: see RacePrograms.swift.

let cleanSyncPrograms: [String: @Sendable () -> Void] = [
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
    "clean-read-write-lock": {
        let map = RWMutex([Int: Int]()), done = WaitGroup()
        for n in 0..<20 {
            done.go { map.withWriteLock { $0[n] = n } }
            done.go { _ = map.withReadLock { $0[n] } }
        }
        done.wait()
        print(map.withReadLock { $0.count })
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
    // Without a lock: each value is seen as it was stored, by whatever way of reading.
    "clean-map-for-each": {
        let map = ConcurrentMap<Int, Shared>(), done = WaitGroup()
        for n in 0..<20 {
            done.go {
                for key in n * 10..<(n + 1) * 10 {
                    let shared = Shared()
                    shared.value = key
                    map[key] = shared
                }
            }
            done.go {
                map.forEach { key, shared in
                    if shared.value != key { fatalError() }
                    return true
                }
                for (key, shared) in map.snapshot() where shared.value != key { fatalError() }
            }
        }
        done.wait()
    },
    // Entries and tables that are freed while others read.
    "clean-map-changes": {
        let map = ConcurrentMap<Int, Shared>(), done = WaitGroup()
        for n in 0..<10 {
            done.go {
                for step in 0..<100 {
                    let shared = Shared()
                    shared.value = step
                    map[step % 10] = shared
                    if step % 7 == n % 7 { map[step % 10] = nil }
                }
            }
            done.go {
                for step in 0..<100 {
                    if let shared = map[step % 10], shared.value % 10 != step % 10 { fatalError() }
                    map.forEach { key, shared in shared.value % 10 == key }
                }
            }
        }
        done.wait()
        map.removeAll()
    },
    "clean-map-update": {
        let map = ConcurrentMap<String, [Int]>(), done = WaitGroup()
        for n in 0..<20 {
            done.go {
                map.update("all") { $0 = ($0 ?? []) + [n] }
                map.loadOrStore("first", [n])
                _ = map.updateValue([n], forKey: "last")
            }
        }
        done.wait()
        if map["all"]!.count != 20 { fatalError() }
    },
    "clean-checked-map": {
        let map = CSP.Mutex(CheckedMap<Int, Int>()), done = WaitGroup()
        for n in 0..<20 { done.go { map.withLock { $0[n] = n } } }
        done.wait()
        if map.withLock({ $0.count }) != 20 { fatalError() }
    },
    // All units are one lock.
    "clean-semaphore-of-two": {
        let shared = Shared(), two = Semaphore(2), done = WaitGroup()
        for n in 0..<20 {
            done.go {
                if n % 4 == 0 {
                    two.acquire(2)
                    shared.value += 1
                    two.release(2)
                } else {
                    two.acquire()
                    if shared.value > 5 { fatalError() }
                    two.release()
                }
            }
        }
        done.wait()
    },
    "clean-try-locks": {
        let shared = Shared(), mutex = CSP.Mutex(), one = Semaphore(1), done = WaitGroup()
        for n in 0..<20 {
            done.go {
                if n % 2 == 0 {
                    while !mutex.tryLock() { Goroutine.yield() }
                    shared.value += 1
                    mutex.unlock()
                } else {
                    while !one.tryAcquire() { Goroutine.yield() }
                    shared.list.append(n)
                    one.release()
                }
            }
        }
        done.wait()
        if shared.value != 10 || shared.list.count != 10 { fatalError() }
    },
    "clean-readers-and-writers": {
        let shared = Shared(), lock = RWMutex(()), done = WaitGroup()
        for n in 0..<40 {
            done.go {
                for _ in 0..<20 {
                    if n % 8 == 0 {
                        lock.withWriteLock { _ in shared.value += 1 }
                    } else {
                        lock.withReadLock { _ in if shared.value < 0 { fatalError() } }
                    }
                }
            }
        }
        done.wait()
    },
    "clean-condition-that-gives-up": {
        let shared = Shared(), mutex = CSP.Mutex(false), condition = Condition(mutex), done = WaitGroup()
        let (context, cancel) = Context.background.withCancel()
        shared.value = 1
        for _ in 0..<10 {
            done.go {
                try? condition.wait(in: context, until: { $0 }, then: { _ in })
                if shared.value != 1 { fatalError() }
            }
        }
        cancel()
        done.wait()
        shared.value = 2
    },
    "clean-wait-groups-in-turn": {
        let shared = Shared(), done = WaitGroup()
        for n in 0..<20 {
            done.go { shared.value += n }
            done.wait()
            shared.value += 1
        }
    },
    "clean-spin-lock": {
        let shared = Shared(), lock = SharedAtomic<UInt8>(0), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                while !lock.compareExchange(expected: 0, desired: 1) { Goroutine.yield() }
                shared.value += 1
                lock.store(0)
            }
        }
        done.wait()
        if shared.value != 20 { fatalError() }
    },
    "clean-wide-atomic": {
        let shared = Shared(), turn = SharedAtomic<Int128>(0)
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
    "clean-scope": {
        let shared = Shared(), results = CSP.Mutex(0)
        shared.value = 1
        try? withGoroutines(limit: 3) { scope in
            for _ in 0..<20 { scope.go { results.withLock { $0 += shared.value } } }
        }
        shared.value = results.withLock { $0 }
    },
    "clean-scope-workers": {
        let jobs = Channel<Shared>(), all = (0..<20).map { _ in Shared() }
        try? withGoroutines { scope in
            scope.work(on: jobs.receiver, workers: 4) { $0.value += 1 }
            for job in all { jobs <- job }
            jobs.close()
        }
        for job in all where job.value != 1 { fatalError() }
    },
    "clean-flight-of-its-own": {
        let flights = SingleFlight<Int, Shared>(), done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                let outcome = flights.start(1) {
                    let shared = Shared()
                    shared.value = 1
                    return shared
                }
                if try! outcome.receive()!.result.get().value != 1 { fatalError() }
            }
        }
        done.wait()
    },
    "clean-pool-between-threads": {
        let pool = Pool { Shared() }, done = WaitGroup()
        for n in 0..<4 {
            done.add()
            let work: @Sendable () -> Void = {
                for _ in 0..<20 {
                    let shared = pool.take()
                    shared.value += 1
                    pool.put(shared)
                }
                done.done()
            }
            if n % 2 == 0 { startThread(work) } else { go(work) }
        }
        done.wait()
        pool.removeAll()
    },
    "clean-threads-and-locks": {
        let shared = Shared(), turn = CSP.Mutex(0), condition = Condition(turn), done = WaitGroup()
        for n in 0..<6 {
            done.add()
            let work: @Sendable () -> Void = {
                condition.wait(until: { $0 == n }, then: { _ in shared.value += 1 })
                turn.withLock { $0 += 1 }
                condition.broadcast()
                done.done()
            }
            if n % 2 == 0 { startThread(work) } else { go(work) }
        }
        done.wait()
        shared.value += 1
    },
    "clean-tasks-and-locks": {
        let shared = Shared(), mutex = CSP.Mutex(), one = Semaphore(1), done = WaitGroup(), over = WaitGroup()
        over.add()
        for n in 0..<20 {
            done.add()
            Task {
                if n % 2 == 0 {
                    await mutex.withLock { _ in shared.value += 1 }
                } else {
                    try await one.acquire()
                    shared.list.append(n)
                    one.release()
                }
                done.done()
            }
            done.go { mutex.withLock { _ in shared.value += 1 } }
        }
        Task {
            try await done.wait()
            shared.value += shared.list.count
            over.done()
        }
        over.wait()
        if shared.value != 40 { fatalError() }
    },
]
