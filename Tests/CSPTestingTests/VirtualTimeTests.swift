import CSP
import CSPTesting
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct VirtualTimeTests {
    @Test func hoursPassAtOnce() throws {
        let start = ContinuousClock.now
        let elapsed = try withVirtualTime { clock in
            Time.sleep(for: .seconds(3600))
            return clock.elapsed
        }
        #expect(elapsed == .seconds(3600))
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test func sleepersWakeInTheOrderOfTheirTimes() throws {
        let order = try withVirtualTime { _ in
            let order = Mutex<[Int]>([]), all = WaitGroup()
            for n in [5, 1, 4, 2, 3] {
                all.go {
                    Time.sleep(for: .seconds(n))
                    order.withLock { $0.append(n) }
                }
            }
            all.wait()
            return order.withLock { $0 }
        }
        #expect(order == [1, 2, 3, 4, 5])
    }

    @Test func aContextsDeadline() throws {
        try withVirtualTime { clock in
            let (context, cancel) = Context.background.withTimeout(.seconds(5))
            defer { cancel() }
            Time.sleep(for: .seconds(5) - .nanoseconds(1))
            clock.waitUntilIdle()
            #expect(context.error == nil)
            Time.sleep(for: .nanoseconds(1))
            clock.waitUntilIdle()
            #expect(context.error == .deadlineExceeded)
        }
    }

    @Test func tickersTimersAndSelect() throws {
        try withVirtualTime { clock in
            let start = clock.now
            let ticker = Time.Ticker(.seconds(1))
            for n in 1...5 { #expect(ticker.channel.receive()! - start == .seconds(n)) }
            ticker.stop()
            let timer = Time.Timer(.seconds(10))
            #expect(timer.stop())
            #expect(!timer.reset(.seconds(20)))
            #expect(timer.channel.receive()! - start == .seconds(25))
            let called = Channel<Duration>(capacity: 1)
            _ = Time.Timer(.seconds(1)) { called <- clock.elapsed }
            #expect(called.receive()! == .seconds(26))
            let never = Channel<Never>()
            let place = select {
                Receive(never) { _ in 1 }
                After(.seconds(2)) { 2 }
                After(.seconds(3)) { 3 }
            }
            #expect(place == 2 && clock.elapsed == .seconds(28))
        }
    }

    @Test func timePassesBesideOneWhoSleepsWithALock() throws {
        let elapsed = try withVirtualTime { clock in
            let lock = Mutex()
            go { lock.withLock { _ in Time.sleep(for: .seconds(10)) } }
            clock.waitUntilIdle()
            lock.withLock { _ in }
            return clock.elapsed
        }
        #expect(elapsed == .seconds(10))
    }

    @Test func waitUntilIdleWaitsForTheOthers() throws {
        try withVirtualTime { clock in
            let count = SharedAtomic(0)
            let gate = Channel<Never>()
            for _ in 0..<50 {
                go {
                    for _ in 0..<10 {
                        count.add(1)
                        Goroutine.yield()
                    }
                    gate.receive()
                }
            }
            clock.waitUntilIdle()
            #expect(count.load() == 500)
            #expect(clock.elapsed == .zero)
            gate.close()
        }
    }

    // What `runBlocking` runs needs one of Swift's threads, so these two tests do not hold any.
    @Test func timeStandsStillForWorkOutside() async throws {
        try await withVirtualTime { clock in
            let (context, cancel) = Context.background.withTimeout(.milliseconds(1))
            defer { cancel() }
            let value = runBlocking(in: .background) { () async -> Int in
                try? await Task.sleep(for: .milliseconds(20))
                return 7
            }
            #expect(value == 7 && clock.elapsed == .zero)
            // Real time has passed, and the timeout's has not come.
            blocking { _ = usleep(5_000) }
            #expect(context.error == nil)
        }
    }

    @Test func whoWaitsOutsideIsNotIdle() async throws {
        try await withVirtualTime { clock in
            let isBack = SharedAtomic(0)
            go {
                runBlocking(in: .background) { () async in try? await Task.sleep(for: .milliseconds(20)) }
                isBack.store(1)
            }
            clock.waitUntilIdle()
            #expect(isBack.load() == 1)
        }
    }

    @Test func aBubbleWithinABubble() throws {
        let (outer, inner) = try withVirtualTime { clock in
            Time.sleep(for: .seconds(1))
            let inner = try withVirtualTime { clock in
                Time.sleep(for: .seconds(100))
                return clock.elapsed
            }
            explore(iterations: 10) { Time.sleep(for: .seconds(5)) }
            return (clock.elapsed, inner)
        }
        #expect(outer == .seconds(1) && inner == .seconds(100))
    }

    @Test func aCancelledTaskWaitsForWhatIsInside() async throws {
        let task = Task {
            try await withVirtualTime { clock in
                blocking { _ = usleep(20_000) }
                return clock.elapsed
            }
        }
        task.cancel()
        #expect(try await task.value == .zero)
    }

    @Test func aDeadlockIsAnError() {
        #expect {
            try withVirtualTime { _ in
                let never = Channel<Int>()
                go("worker") { never.receive() }
                never.receive()
            }
        } throws: { error in
            guard case .deadlock(let dump) = error as? VirtualTimeError else { return false }
            return dump.contains("\"main\" [chan receive") && dump.contains("\"worker\" [chan receive")
        }
    }

    @Test func leftoversAreAnError() {
        #expect {
            try withVirtualTime { _ in
                go("worker") { Time.sleep(for: .seconds(1)) }
            }
        } throws: { error in
            guard case .leftover(let dump) = error as? VirtualTimeError else { return false }
            return dump.contains("\"worker\" [sleep") && !dump.contains("\"main\"")
        }
    }

    @Test func errorsComeThrough() {
        struct Wrong: Error {}
        #expect(throws: Wrong.self) { try withVirtualTime { _ in throw Wrong() } }
    }

    @Test func itRunsInTasksAndGoroutines() async throws {
        let first = try await withVirtualTime { clock in
            Time.sleep(for: .seconds(1))
            return clock.elapsed
        }
        let second = try await Goroutine.run {
            try withVirtualTime { clock in
                Time.sleep(for: .seconds(1))
                return clock.elapsed
            }
        }
        #expect(first == .seconds(1) && second == .seconds(1))
    }

    @Test func manyAtOnce() async throws {
        try await withThrowingTaskGroup(of: Duration.self) { group in
            for n in 1...100 {
                group.addTask {
                    try await withVirtualTime { clock in
                        let all = WaitGroup()
                        for k in 1...n { all.go { Time.sleep(for: .seconds(k)) } }
                        all.wait()
                        return clock.elapsed
                    }
                }
            }
            var sum = Duration.zero
            for try await elapsed in group { sum += elapsed }
            #expect(sum == .seconds(5050))
        }
    }
}
