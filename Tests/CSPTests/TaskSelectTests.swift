import CSP
import Testing

/// Selects of Swift tasks.
@Suite(.timeLimit(.minutes(10))) struct TaskSelectTests {
    struct Odd: Error {}

    @Test func aReadyCaseIsChosenAtOnce() async throws {
        let full = Channel<Int>(capacity: 1), empty = Channel<Int>()
        try await full.send(5)
        let value = try await select {
            Receive(empty) { _ in 0 }
            Receive(full) { $0! }
        }
        #expect(value == 5)
        let sent = try await select {
            Receive(empty) { _ in false }
            Send(6, to: full) { true }
        }
        #expect(sent && full.count == 1)
    }

    @Test func itSuspendsUntilACaseIsReady() async throws {
        let a = Channel<Int>(), b = Channel<Int>()
        for round in 0..<200 {
            let (chosen, other) = round % 2 == 0 ? (a, b) : (b, a)
            go { chosen <- round }
            let value = try await select {
                Receive(a) { $0! }
                Receive(b) { $0! }
            }
            #expect(value == round)
            #expect(!other.trySend(0), "a loser is still queued")
        }
    }

    @Test func twoTasksMeetInTheirSelects() async throws {
        let channel = Channel<Int>(), never = Channel<Int>()
        for round in 0..<200 {
            async let got = select {
                Receive(channel) { $0! }
                Receive(never) { _ in -1 }
            }
            try await select {
                Send(round, to: channel) {}
                Receive(never) { _ in }
            }
            #expect(try await got == round)
        }
    }

    @Test func aDefaultNeverSuspends() async throws {
        let empty = Channel<Int>(), other = Channel<Int>()
        let first = try await select {
            Receive(empty) { _ in "value" }
            Default { "nothing" }
        }
        let second = try await select {
            Receive(empty) { _ in "value" }
            Send(1, to: other) { "sent" }
            Default { "nothing" }
        }
        #expect(first == "nothing" && second == "nothing")
    }

    @Test func afterFires() async throws {
        let never = Channel<Int>()
        let start = ContinuousClock.now
        try await select {
            Receive(never) { _ in Issue.record("received") }
            After(.milliseconds(30)) {}
            After(.seconds(100)) { Issue.record("the later one") }
        }
        #expect(ContinuousClock.now - start >= .milliseconds(30))
        #expect(!never.trySend(1))
    }

    @Test func bodiesThrowAndTheirErrorsKeepTheirType() async {
        let odd = Channel<Int>(capacity: 1)
        #expect(odd.trySend(1))
        await #expect(throws: Odd.self) {
            try await select {
                Receive(odd) { _ in throw Odd() }
                After(.seconds(100)) {}
            }
        }
    }

    @MainActor final class Screen {
        var shown = 0

        func show(_ numbers: Channel<Int>) async throws {
            try await select {
                Receive(numbers) {
                    MainActor.assertIsolated()
                    self.shown += $0 ?? 0
                }
                After(.seconds(100)) {}
            }
            MainActor.assertIsolated()
        }
    }

    @MainActor @Test func bodiesRunOnTheCallersActor() async throws {
        let screen = Screen(), numbers = Channel<Int>()
        async let shown: Void = screen.show(numbers)
        try await Task.sleep(for: .milliseconds(5))
        try await numbers.send(3)
        try await shown
        #expect(screen.shown == 3)
    }

    @Test func aPrioritizedSelectTakesTheFirst() async throws {
        let first = Channel<Int>(capacity: 100), second = Channel<Int>(capacity: 100)
        for n in 0..<100 {
            try await first.send(n)
            try await second.send(n)
        }
        for _ in 0..<100 {
            try await select(prioritized: true) {
                Receive(first) { _ in }
                Receive(second) { _ in Issue.record("the second one") }
            }
        }
        let waiting = Channel<Int>()
        go { waiting <- 1 }
        try await select(prioritized: true) {
            Receive(first) { _ in Issue.record("from an empty channel") }
            Receive(waiting) { _ in }
        }
    }

    @Test func locksAreSelectable() async throws {
        let counts = CSP.Mutex(0), slots = Semaphore(1)
        #expect(slots.tryAcquire())
        async let acquired: Void = select {
            Acquire(keeping: slots) {}
            After(.seconds(100)) { Issue.record("too late") }
        }
        try await Task.sleep(for: .milliseconds(5))
        slots.release()
        try await acquired
        #expect(!slots.tryAcquire())
        try await select {
            Acquire(slots) { Issue.record("acquired twice") }
            Acquire(counts) { $0 += 1 }
        }
        #expect(await counts.withLock { $0 } == 1)
    }

    // MARK: Arrays

    @Test func anArrayMayHoldAnyNumber() async throws {
        let channels = (0..<100).map { _ in Channel<Int>() }
        for round in [0, 50, 99] {
            go { channels[round] <- round }
            let value = try await select(channels.map { AnySelectCase(Receive($0) { $0! }) })
            #expect(value == round)
        }
        #expect(channels.allSatisfy { !$0.trySend(1) })
        let nothing = try await select(
            channels.map { AnySelectCase(Receive($0) { $0! }) } + [AnySelectCase(Default { -1 })])
        #expect(nothing == -1)
    }

    @Test func anEmptyArrayWaitsUntilTheTaskIsCancelled() async throws {
        let task = Task { () async throws -> Int in try await select([AnySelectCase<Int>]()) }
        try await Task.sleep(for: .milliseconds(10))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    // MARK: Cancellation

    @Test func aCancelledTaskChoosesNothing() async {
        let full = Channel<Int>(capacity: 1)
        #expect(full.trySend(1))
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            try await select {
                Receive(full) { _ in Issue.record("received") }
                Default { Issue.record("the default") }
            }
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(full.count == 1)
    }

    /// With a timer, channels in both directions and a lock: whatever wins, the others keep theirs.
    @Test func racesOfCancellationLeaveNothingBehind() async throws {
        let count = 1000
        let ledger = Ledger(count)
        let tokens = Channel<Token>(), numbers = Channel<Int>(), slots = Semaphore(2)
        let sent = SharedAtomic(0), received = SharedAtomic(0), taken = SharedAtomic(0), given = SharedAtomic(0)
        let isOver = Channel<Never>(), all = WaitGroup()
        all.go {
            var isRunning = true
            while isRunning {
                select {
                    Receive(tokens) { _ in received.add(1) }
                    Send(1, to: numbers) { given.add(1) }
                    Receive(isOver) { _ in isRunning = false }
                }
            }
        }
        await withTaskGroup { group in
            for id in 0..<count {
                group.addTask {
                    let task = Task {
                        try await select {
                            Send(ledger.token(id), to: tokens) { sent.add(1) }
                            Receive(numbers) { _ in taken.add(1) }
                            Acquire(slots) {}
                            After(.microseconds(id % 50)) {}
                        }
                    }
                    if id % 2 == 0 { await Task.yield() }
                    task.cancel()
                    _ = await task.result
                }
            }
        }
        isOver.close()
        try await all.wait()
        #expect(sent.load() == received.load() && taken.load() == given.load())
        #expect(ledger.allReleasedOnce)
        #expect(slots.tryAcquire(2))
    }
}
