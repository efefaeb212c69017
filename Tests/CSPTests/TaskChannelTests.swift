import CSP
import Testing

/// Swift tasks on channels: the third kind of waiter.
@Suite(.timeLimit(.minutes(10))) struct TaskChannelTests {
    @Test(arguments: [0, 3])
    func tasksTalkToGoroutines(capacity: Int) async throws {
        let requests = Channel<Int>(capacity: capacity), replies = Channel<Int>(capacity: capacity)
        go {
            for request in requests { replies <- request + 1 }
            replies.close()
        }
        for n in 0..<500 {
            try await requests.send(n)
            #expect(try await replies.receive() == n + 1)
        }
        requests.close()
        #expect(try await replies.receive() == nil)
    }

    @Test(arguments: [0, 3])
    func tasksTalkToTasks(capacity: Int) async throws {
        let requests = Channel<Int>(capacity: capacity), replies = Channel<Int>(capacity: capacity)
        async let echo: Void = {
            for try await request in requests.receiver { try await replies.sender.send(request + 1) }
            replies.close()
        }()
        for n in 0..<500 {
            try await requests.sender.send(n)
            #expect(try await replies.receiver.receive() == n + 1)
        }
        requests.close()
        #expect(try await replies.receive() == nil)
        try await echo
    }

    @Test func waitersOfAllKindsAreServedInTheOrderTheyCame() async throws {
        let channel = Channel<Int>(), served = Channel<(Int, Int)>(capacity: 30)
        for place in 0..<30 {
            switch place % 3 {
            case 0: go { served <- (place, channel.receive()!) }
            case 1: Task { try await served.send((place, try await channel.receive()!)) }
            default: startThread { served <- (place, channel.receive()!) }
            }
            while channel.waitingReceivers <= place { try await Task.sleep(for: .milliseconds(1)) }
        }
        for value in 0..<30 { try await channel.send(value) }
        for _ in 0..<30 {
            let (place, value) = try await served.receive()!
            #expect(place == value)
        }
    }

    @Test func forAwaitEndsWhenTheChannelIsClosedAndDrained() async throws {
        let channel = Channel<Int>(capacity: 4)
        go {
            for n in 0..<100 { channel <- n }
            channel.close()
        }
        var seen: [Int] = []
        for try await n in channel { seen.append(n) }
        #expect(seen == Array(0..<100))
        for try await _ in channel.receiver { Issue.record("a value from a closed channel") }
    }

    @Test func closeWakesATask() async throws {
        let channel = Channel<Int>()
        async let value = channel.receive()
        try await Task.sleep(for: .milliseconds(10))
        channel.close()
        #expect(try await value == nil)
    }

    @Test func ownershipMovesThroughATask() async throws {
        let ledger = Ledger(3), tokens = Channel<Token>(capacity: 1)
        try await tokens.send(ledger.token(0))
        let sending = Task { try await tokens.send(ledger.token(1)) }
        let first = id(of: try await tokens.receive())
        #expect(first == 0)
        try await sending.value
        try await tokens.receive()
        #expect(ledger.counts == [1, 1, 0])
        let late = Task { id(of: try await tokens.receive()) }
        try await tokens.send(ledger.token(2))
        #expect(try await late.value == 2)
        #expect(ledger.allReleasedOnce)
    }

    private func id(of token: consuming Token?) -> Int? {
        guard let token else { return nil }
        return token.id
    }

    // MARK: Cancellation

    @Test func aCancelledTaskSendsAndTakesNothing() async {
        let ledger = Ledger(1), tokens = Channel<Token>(capacity: 1), numbers = Channel<Int>(capacity: 1)
        #expect(numbers.trySend(1))
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            await #expect(throws: CancellationError.self) { try await tokens.send(ledger.token(0)) }
            await #expect(throws: CancellationError.self) { try await numbers.receive() }
        }
        task.cancel()
        await task.value
        #expect(tokens.count == 0 && numbers.count == 1)
        #expect(ledger.allReleasedOnce)
    }

    @Test func cancellationEndsAWait() async throws {
        let ledger = Ledger(1), tokens = Channel<Token>(), numbers = Channel<Int>()
        let sending = Task { try await tokens.send(ledger.token(0)) }
        let receiving = Task { try await numbers.receive() }
        try await Task.sleep(for: .milliseconds(10))
        sending.cancel()
        receiving.cancel()
        await #expect(throws: CancellationError.self) { try await sending.value }
        await #expect(throws: CancellationError.self) { try await receiving.value }
        #expect(ledger.allReleasedOnce)
        // Nobody is left in the queues.
        if case .empty = tokens.tryReceive() {} else { Issue.record("the cancelled sender is still there") }
        #expect(!numbers.trySend(1))
    }

    /// Either the value arrives or the send throws, never both and never neither.
    @Test(arguments: [0, 2])
    func racesOfCancellationLoseNoValue(capacity: Int) async throws {
        let count = 2000
        let ledger = Ledger(count), tokens = Channel<Token>(capacity: capacity)
        let received = SharedAtomic(0), sent = SharedAtomic(0), taken = SharedAtomic(0)
        go {
            while let token = tokens.receive() {
                _ = consume token
                received.add(1)
            }
            taken.add(1)
        }
        await withTaskGroup { group in
            for id in 0..<count {
                group.addTask {
                    let sending = Task {
                        do {
                            try await tokens.send(ledger.token(id))
                            sent.add(1)
                        } catch {}
                    }
                    if id % 3 != 0 { await Task.yield() }
                    sending.cancel()
                    await sending.value
                }
            }
        }
        tokens.close()
        #expect(eventually { taken.load() == 1 })
        #expect(received.load() == sent.load())
        #expect(ledger.allReleasedOnce)
    }

    @Test func aReceiverCancelledWhileItIsServedKeepsTheValueOrLeavesIt() async throws {
        let count = 2000
        let numbers = Channel<Int>()
        let counts = (0..<count).map { _ in SharedAtomic(0) }
        go {
            for n in 0..<count { numbers <- n }
            numbers.close()
        }
        let isOver = SharedAtomic(0)
        await withTaskGroup { group in
            for worker in 0..<4 {
                group.addTask {
                    while isOver.load() == 0 {
                        let receiving = Task {
                            guard let n = try await numbers.receive() else { return isOver.store(1) }
                            counts[n].add(1)
                        }
                        if worker % 2 == 0 { await Task.yield() }
                        receiving.cancel()
                        _ = await receiving.result
                    }
                }
            }
        }
        #expect(counts.allSatisfy { $0.load() == 1 })
    }
}
