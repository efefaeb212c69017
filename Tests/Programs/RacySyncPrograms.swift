import CSP

// Programs with a race: locks, groups, maps, pools: see RacePrograms.swift.

let racySyncPrograms: [String: @Sendable () -> Void] = [
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
    "racy-semaphore-of-two": {
        let shared = Shared(), two = Semaphore(2), inside = Meeting()
        let work: @Sendable () -> Void = {
            two.acquire()
            shared.value += 1
            inside.wait()
            two.release()
        }
        both(work, work)
    },
    "racy-write-under-a-read-lock": {
        let shared = Shared(), lock = RWMutex(()), inside = Meeting()
        let work: @Sendable () -> Void = {
            lock.withReadLock { _ in
                shared.value += 1
                inside.wait()
            }
        }
        both(work, work)
    },
    "racy-once-bypassed": {
        let shared = Shared(), once = Once()
        both({ once.run { shared.value = 1 } }, { if shared.value == 0 { print("not yet") } })
    },
    "racy-value-in-a-concurrent-map": {
        let map = ConcurrentMap<Int, Shared>()
        let work: @Sendable () -> Void = {
            map.forEach { _, shared in
                shared.value += 1
                return true
            }
        }
        map[1] = Shared()
        both(work, work)
    },
    // A writer frees what readers of any map may have been looking at.
    "racy-beside-concurrent-maps": {
        let shared = Shared(), read = ConcurrentMap<Int, Int>(), written = ConcurrentMap<Int, Int>()
        read[1] = 1
        written[1] = 1
        apart(
            {
                shared.value = 1
                _ = read[1]
            },
            {
                for n in 0..<10 { written[1] = n }
                shared.value = 2
            })
    },
    "racy-flight-result": {
        let flights = SingleFlight<Int, Shared>(), result = Shared()
        let work: @Sendable () -> Void = { try! flights.run(1) { result }.value.value += 1 }
        let inside = Meeting()
        both(
            {
                work()
                inside.wait()
            },
            {
                work()
                inside.wait()
            })
    },
    "racy-scope": {
        let shared = Shared()
        try? withGoroutines { scope in
            scope.go { shared.value = 1 }
            scope.go { shared.value = 2 }
        }
    },
    "racy-limited-group": {
        let shared = Shared(), group = ErrorGroup(limit: 2), inside = Meeting()
        for n in 0..<2 {
            group.go {
                shared.value = n
                inside.wait()
            }
        }
        try? group.wait()
    },
]
