import CSP
import Testing

/// Locks and groups in Swift tasks.
@Suite(.timeLimit(.minutes(10))) struct TaskSyncTests {
    struct Failed: Error {}

    @Test func aMutexIsSharedByTasksGoroutinesAndThreads() async {
        let count = CSP.Mutex(0), all = WaitGroup()
        for _ in 0..<20 {
            all.go { for _ in 0..<200 { count.withLock { $0 += 1 } } }
            all.add()
            startThread {
                for _ in 0..<50 { count.withLock { $0 += 1 } }
                all.done()
            }
        }
        await withTaskGroup { group in
            for _ in 0..<20 {
                group.addTask {
                    for _ in 0..<200 {
                        await count.withLock {
                            let old = $0
                            Goroutine.yield()
                            $0 = old + 1
                        }
                    }
                }
            }
        }
        try? await all.wait()
        #expect(await count.withLock { $0 } == 20 * 450)
    }

    @Test func aLockIsWaitedForEvenInACancelledTask() async throws {
        let lock = CSP.Mutex(0)
        let isHeld = Channel<Never>(), mayGo = Channel<Never>()
        go {
            lock.withLock { _ in
                isHeld.close()
                mayGo.receive()
            }
        }
        try await isHeld.receive()
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            return await lock.withLock { value -> Int in
                value += 1
                return value
            }
        }
        task.cancel()
        try await Task.sleep(for: .milliseconds(10))
        mayGo.close()
        #expect(await task.value == 1)
    }

    @Test func aBodyThatThrowsUnlocks() async {
        let lock = CSP.Mutex(0)
        await #expect(throws: Failed.self) { try await lock.withLock { _ throws(Failed) in throw Failed() } }
        #expect(await lock.withLock { $0 } == 0)
    }

    @Test func aSemaphoreServesTasksInTurn() async throws {
        let slots = Semaphore(3), inside = SharedAtomic(0), most = SharedAtomic(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for n in 0..<100 {
                group.addTask {
                    let count = n % 3 + 1
                    try await slots.acquire(count)
                    let now = inside.add(count)
                    if now > most.load() { most.store(now) }
                    await Task.yield()
                    inside.add(-count)
                    slots.release(count)
                }
            }
            try await group.waitForAll()
        }
        #expect(most.load() <= 3)
        #expect(slots.tryAcquire(3))
    }

    @Test func aCancelledAcquireTakesNothingAndLetsOthersPass() async throws {
        let slots = Semaphore(2)
        try await slots.acquire()
        let greedy = Task { try await slots.acquire(2) }
        try await Task.sleep(for: .milliseconds(10))
        let modest = Task { try await slots.acquire(1) }
        try await Task.sleep(for: .milliseconds(10))
        #expect(!slots.tryAcquire())
        greedy.cancel()
        await #expect(throws: CancellationError.self) { try await greedy.value }
        try await modest.value
        slots.release(2)
        #expect(slots.tryAcquire(2))
        let hopeless = Task { try await slots.acquire(3) }
        try await Task.sleep(for: .milliseconds(5))
        hopeless.cancel()
        await #expect(throws: CancellationError.self) { try await hopeless.value }
    }

    @Test func aWaitGroupLetsTasksGoOn() async throws {
        let group = WaitGroup()
        try await group.wait()
        for round in 0..<200 {
            group.add(3)
            async let first: Void = group.wait()
            async let second: Void = group.wait()
            go { group.wait() }
            for _ in 0..<3 { go { group.done() } }
            if round % 2 == 0 { try await group.wait() }
            try await first
            try await second
        }
    }

    /// A counter that goes above zero for a moment, again and again: whoever begins to wait then is not forgotten.
    @Test func aWaitBesideACounterThatComesAndGoesEnds() async throws {
        let group = WaitGroup(), isOver = SharedAtomic(0), all = WaitGroup()
        for _ in 0..<2 {
            all.go {
                while isOver.load() == 0 {
                    group.add()
                    group.done()
                }
            }
        }
        for _ in 0..<5000 { try await group.wait() }
        isOver.store(1)
        try await all.wait()
    }

    @Test func aCancelledWaitLeavesTheGroupAsItWas() async throws {
        for _ in 0..<200 {
            let group = WaitGroup()
            group.add()
            let cancelled = Task { try await group.wait() }
            let other = Task { try await group.wait() }
            await Task.yield()
            go { group.done() }
            cancelled.cancel()
            _ = await cancelled.result
            try await other.value
            // Nobody counts as waiting any more: a new round neither hangs nor ends too early.
            group.add()
            let again = Task { try await group.wait() }
            go { group.done() }
            try await again.value
        }
        let stuck = WaitGroup()
        stuck.add()
        let task = Task { try await stuck.wait() }
        try await Task.sleep(for: .milliseconds(5))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        stuck.done()
        try await stuck.wait()
    }

    @Test func anErrorGroupIsWaitedForByATask() async throws {
        let (group, context) = ErrorGroup.withContext(limit: 4)
        for n in 0..<50 {
            group.go {
                Time.sleep(for: .milliseconds(1))
                if n == 20 { throw Failed() }
            }
        }
        await #expect(throws: Failed.self) { try await group.wait() }
        #expect(context.cause is Failed)
        let fine = ErrorGroup()
        fine.go {}
        try await fine.wait()
    }

    @Test func aTaskThatGivesUpCancelsItsErrorGroup() async throws {
        let (group, context) = ErrorGroup.withContext()
        let ended = Channel<Never>()
        group.go {
            context.done.receive()
            ended.close()
        }
        let task = Task { try await group.wait() }
        try await Task.sleep(for: .milliseconds(5))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await ended.receive()
        #expect(context.cause is CancellationError)
    }
}
