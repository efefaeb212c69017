import CSP
import Dispatch
import Foundation
import Synchronization
import Testing

/// Goroutines from tasks, tasks from goroutines. Nothing here blocks one of Swift's few threads, for what goes on elsewhere needs them.
@Suite(.timeLimit(.minutes(10))) struct TaskBridgeTests {
    struct Failed: Error, Equatable {}
    enum Local {
        @TaskLocal static var mark = 0
    }

    // MARK: Goroutine.run

    @Test func aTaskGetsWhatAGoroutineReturns() async {
        for n in 0..<200 {
            let value = await Goroutine.run("doubling") { () -> Int in
                Time.sleep(for: .microseconds(10))
                return Goroutine.current?.name == "doubling" ? n * 2 : -1
            }
            #expect(value == n * 2)
        }
    }

    @Test func errorsKeepTheirType() async {
        do throws(Failed) {
            _ = try await Goroutine.run { () throws(Failed) -> Int in throw Failed() }
            Issue.record("did not throw")
        } catch { #expect(error == Failed()) }
    }

    final class Unshared { var text = "" }

    @Test func whatIsNotSendableIsSent() async {
        let made = await Goroutine.run { () -> sending Unshared in
            let made = Unshared()
            made.text = "made by a goroutine"
            return made
        }
        made.text += "!"
        #expect(made.text == "made by a goroutine!")
    }

    @Test func cancellingTheTaskCancelsTheContext() async {
        let isWaiting = Channel<Never>()
        let task = Task {
            await Goroutine.run { () -> Bool in
                isWaiting.close()
                Context.current.done.receive()
                return Context.current.error == .canceled && Context.current.cause is CancellationError
            }
        }
        try? await isWaiting.receive()
        task.cancel()
        #expect(await task.value)
        let cancelled = Task {
            while !Task.isCancelled { await Task.yield() }
            return await Goroutine.run { Context.current.error }
        }
        cancelled.cancel()
        #expect(await cancelled.value == .canceled)
        #expect(await Goroutine.run { Context.current.error } == nil)
    }

    @Test func goroutinesSeeTheTasksLocals() async {
        let seen = await Local.$mark.withValue(3) {
            await withTaskGroup { group in
                for _ in 0..<3 { group.addTask { await Goroutine.run { Local.mark } } }
                return await group.reduce(into: [await Goroutine.run { Local.mark }]) { $0.append($1) }
            }
        }
        #expect(seen == [3, 3, 3, 3])
        #expect(await Goroutine.run { Local.mark } == 0)
    }

    /// What a goroutine inherits costs something only if something is bound.
    @Test func aGoroutineOfATaskWithoutLocalsIsInNoTask() async {
        // Detached, since a test has some of its own.
        let task = Task.detached { await Goroutine.run { unsafe withUnsafeCurrentTask { unsafe $0 != nil } } }
        let isInTask = await task.value
        #expect(!isInTask)
    }

    /// As many tasks as Swift has threads, and more, each in code that waits for the next one's. With plain semaphores in their place, the first two
    /// would hold both threads for ever.
    @Test func blockingCodeDoesNotStarveTasks() async {
        let count = 64
        let gates = (0...count).map { _ in DispatchSemaphore(value: 0) }
        await withTaskGroup { group in
            for n in 0..<count {
                group.addTask {
                    await Goroutine.run {
                        blocking { gates[n + 1].wait() }
                        gates[n].signal()
                    }
                }
            }
            group.addTask { gates[count].signal() }
        }
        #expect(gates[0].wait(timeout: .now()) == .success)
    }

    // MARK: runBlocking

    @Test func aGoroutineGetsWhatATaskReturns() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            for n in 0..<100 {
                let value = try runBlocking { () async throws -> Int in
                    try await Task.sleep(for: .microseconds(50))
                    return n + 1
                }
                #expect(value == n + 1)
            }
            #expect(throws: Failed.self) {
                try runBlocking { () async throws(Failed) in
                    await Task.yield()
                    throw Failed()
                }
            }
        }
    }

    @Test func aThreadGetsWhatATaskReturns() async {
        let value = await withCheckedContinuation { continuation in
            startThread {
                continuation.resume(
                    returning: runBlocking { () async -> Int in
                        await Task.yield()
                        return 5
                    })
            }
        }
        #expect(value == 5)
    }

    @Test func theTaskSeesTheCallersLocals() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            let seen = Local.$mark.withValue(4) {
                runBlocking { () async -> (Int, Int) in
                    let before = Local.mark
                    await Task.yield()
                    return (before, Local.mark)
                }
            }
            #expect(seen == (4, 4))
            #expect(Local.mark == 0)
        }
    }

    @Test func theContextCancelsTheTask() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            let group = ErrorGroup.withContext()
            group.group.go {
                try runBlocking { () async throws in try await Task.sleep(for: .seconds(1000)) }
            }
            group.group.go {
                Time.sleep(for: .milliseconds(5))
                throw Failed()
            }
            #expect(throws: Failed.self) { try group.group.wait() }
            let after = group.context
            let late = ErrorGroup.withContext(after)
            late.group.go {
                // Done before it starts.
                try runBlocking { () async throws in try Task.checkCancellation() }
            }
            #expect(throws: CancellationError.self) { try late.group.wait() }
        }
    }

    /// Also one that never suspends.
    @Test func theContextCancelsATaskThatIsBusy() async throws {
        try await Goroutine.run { () throws in
            let (context, cancel) = Context.background.withTimeout(.milliseconds(20))
            defer { cancel() }
            runBlocking(in: context) { () async in
                while !Task.isCancelled { await nothing() }
            }
            #expect(context.error == .deadlineExceeded)
        }
    }

    @Test func aThousandAtOnceNeedNoThousandThreads() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            let all = WaitGroup(), sum = SharedAtomic(0)
            let gate = Channel<Never>()
            for n in 0..<1000 {
                all.go {
                    sum.add(
                        runBlocking { () async -> Int in
                            try? await gate.receive()
                            return n
                        })
                }
            }
            settle()
            // Others test threads meanwhile.
            #expect(threadCount() < 800)
            gate.close()
            all.wait()
            #expect(sum.load() == 499_500)
        }
    }

    @Test func theyNest() async {
        let value = await Goroutine.run {
            runBlocking { () async -> Int in
                await Goroutine.run {
                    runBlocking { () async -> Int in
                        await Task.yield()
                        return 6
                    }
                }
            }
        }
        #expect(value == 6)
    }

    // MARK: Async sequences

    @Test func aChannelGetsWhatASequenceYields() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            let stream = AsyncStream<Int> { continuation in
                for n in 0..<100 { continuation.yield(n) }
                continuation.finish()
            }
            #expect(Array(ReceiveChannel(stream, capacity: 3)) == Array(0..<100))
        }
    }

    @Test func anErrorIsTheLastElement() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            let stream = AsyncThrowingStream<Int, any Error> { continuation in
                continuation.yield(1)
                continuation.finish(throwing: Failed())
            }
            let results = Array(ReceiveChannel(stream))
            #expect(results.count == 2)
            #expect(throws: Failed.self) { try results[1].get() }
        }
    }

    struct Counter: AsyncSequence, AsyncIteratorProtocol {
        let produced: SharedAtomic<Int>
        func makeAsyncIterator() -> Counter { self }
        mutating func next() async -> Int? { produced.add(1) }
        mutating func next(isolation actor: isolated (any Actor)?) async -> Int? { produced.add(1) }
    }

    @Test func aSequenceIsNotReadFurtherThanAsked() async throws {
        try await Goroutine.run(stackSize: 1 << 20) { () throws in
            let produced = SharedAtomic(0)
            let (context, cancel) = Context.background.withCancel()
            let channel = ReceiveChannel(Counter(produced: produced), capacity: 4, in: context)
            for n in 1...10 { #expect(channel.receive() == n) }
            settle()
            // Received, in the buffer, and one that waits.
            #expect(produced.load() <= 15)
            cancel()
            // However long it takes: the task that reads may have to wait for one of the two threads that all tests share.
            while channel.receive() != nil {}
            let last = produced.load()
            settle()
            #expect(produced.load() == last)
        }
    }
}

private func nothing() async {}

/// Threads of this process.
func threadCount() -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count) ?? .max
}
