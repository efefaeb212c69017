import CSP
import Testing

/// Swift tasks on the goroutines' threads.
@Suite(.timeLimit(.minutes(10))) struct TaskExecutorTests {
    actor Counter {
        var count = 0
        var offScheduler = 0
        func add() {
            count += 1
            if Goroutine.current == nil { offScheduler += 1 }
        }
    }

    private func onScheduler() -> Bool { Goroutine.current != nil }

    @Test func everyPieceRunsInAGoroutine() async {
        #expect(!onScheduler())
        let results = await withTaskExecutorPreference(Scheduler.taskExecutor) {
            var results = [onScheduler()]
            await Task.yield()
            results.append(onScheduler())
            try? await Task.sleep(for: .milliseconds(1))
            results.append(onScheduler())
            await withCheckedContinuation { continuation in go { continuation.resume() } }
            results.append(onScheduler())
            async let child = onScheduler()
            results.append(await child)
            return results
        }
        #expect(results == [true, true, true, true, true])
    }

    @Test func taskGroupsAndActorsRunThere() async {
        let counter = Counter()
        await withTaskExecutorPreference(Scheduler.taskExecutor) {
            await withTaskGroup { group in
                for _ in 0..<1000 {
                    group.addTask {
                        await Task.yield()
                        await counter.add()
                    }
                }
            }
        }
        #expect(await counter.count == 1000)
        #expect(await counter.offScheduler == 0)
    }

    @Test func unstructuredTasksTakeThePreference() async {
        let task = Task(executorPreference: Scheduler.taskExecutor) {
            await Task.yield()
            return onScheduler()
        }
        #expect(await task.value)
    }

    /// More tasks than processors, each of which parks in a function that is not async: only goroutines can go on then.
    @Test func plainOperationsParkAndNothingStands() async {
        func park(_ a: Channel<Int>, _ b: Channel<Int>, _ n: Int) -> Int {
            a <- n
            return b.receive()!
        }
        let sum = await withTaskExecutorPreference(Scheduler.taskExecutor) {
            await withTaskGroup { group in
                for n in 0..<200 {
                    let there = Channel<Int>(), back = Channel<Int>()
                    group.addTask { park(there, back, n) }
                    group.addTask {
                        let value = try! await there.receive()!
                        try! await back.send(value + 1)
                        return 0
                    }
                }
                return await group.reduce(0, +)
            }
        }
        #expect(sum == 200 * 199 / 2 + 200)
    }

    @Test func asyncOperationsSuspend() async throws {
        try await withTaskExecutorPreference(Scheduler.taskExecutor) {
            let requests = Channel<Int>(), replies = Channel<Int>()
            async let echo: Void = {
                for try await request in requests { try await replies.send(request + 1) }
                replies.close()
            }()
            for n in 0..<1000 {
                try await requests.send(n)
                #expect(try await replies.receive() == n + 1)
            }
            requests.close()
            try await echo
        }
    }

    /// What a task leaves on its thread must travel with the goroutine that parks inside it.
    @Test func aTaskThatParksKeepsItsLocalsAndItself() async {
        enum Local { @TaskLocal static var mark = 0 }
        func park(_ gate: Channel<Never>) -> (Int, Bool) {
            gate.receive()
            return (Local.mark, unsafe withUnsafeCurrentTask { unsafe $0 != nil })
        }
        let wrong = await withTaskExecutorPreference(Scheduler.taskExecutor) {
            let gate = Channel<Never>()
            return await withTaskGroup { group in
                for n in 1...100 {
                    group.addTask {
                        await Local.$mark.withValue(n) {
                            let before = park(gate)
                            await Task.yield()
                            return before == (n, true) && Local.mark == n ? 0 : 1
                        }
                    }
                }
                group.addTask {
                    try? await Task.sleep(for: .milliseconds(5))
                    gate.close()
                    return 0
                }
                return await group.reduce(0, +)
            }
        }
        #expect(wrong == 0)
    }

    /// Who fires a timer holds locks; an executor that runs a job where it comes must not meet them.
    @Test func timersResumeTasksOfAnyExecutor() async throws {
        final class InPlace: TaskExecutor {
            func enqueue(_ job: consuming ExecutorJob) { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
        let never = Channel<Int>()
        try await Task(executorPreference: InPlace()) {
            for _ in 0..<20 {
                try await Time.after(.microseconds(200)).receive()
                try await select {
                    Receive(never) { _ in }
                    After(.microseconds(200)) {}
                }
            }
        }.value
    }

    @Test func selectsWithTimersFireThere() async throws {
        try await withTaskExecutorPreference(Scheduler.taskExecutor) {
            let never = Channel<Int>()
            for _ in 0..<50 {
                try await select {
                    Receive(never) { _ in }
                    After(.microseconds(200)) {}
                }
                #expect(onScheduler())
            }
        }
    }
}
