import CSP
import Foundation
import Testing

/// Swift tasks, goroutines and threads on the same things at once. Tasks run on Swift's threads in one round, and on the goroutines' in the next.
/// Other suites hold Swift's threads while their tests run, so these tests hold none.
@Suite(.serialized, .timeLimit(.minutes(15))) struct TaskStressTests {
    private func stressTasks(
        rounds: Int, stressedRounds: Int,
        _ body: @escaping @Sendable ((any TaskExecutor)?, inout SeededGenerator) -> Void
    ) async {
        let old = Scheduler.maxProcs
        defer { Scheduler.maxProcs = old }
        for procs in [1, 2, 4, 16] {
            Scheduler.maxProcs = procs
            for round in 0..<2 * CSPStressTests.rounds(rounds, stressed: stressedRounds) {
                await Goroutine.run("stress") {
                    var random = SeededGenerator(seed: firstSeed &+ UInt64(round))
                    body(round % 2 == 0 ? nil : Scheduler.taskExecutor, &random)
                }
            }
        }
    }

    /// Every value arrives exactly once, whoever sends and receives it, though tasks are cancelled at random in the middle.
    @Test func tasksGoroutinesAndThreadsShareAChannel() async {
        let (tasks, goroutines, threads) = stressing ? (10_000, 10_000, 8) : (1_000, 1_000, 8)
        await stressTasks(rounds: 1, stressedRounds: 2) { executor, random in
            let channel = Channel<Int>(capacity: [0, 1, 64][Int(random.next() % 3)])
            let perThread = 200
            let total = tasks / 2 + goroutines / 2 + threads / 2 * perThread
            let received = (0..<total).map { _ in SharedAtomic(0) }
            let sent = (0..<total).map { _ in SharedAtomic(0) }
            let senders = WaitGroup(), receivers = WaitGroup(), isDrained = Channel<Never>()

            // Receivers for ever, until the senders are through.
            for _ in 0..<goroutines / 2 {
                receivers.go { for n in channel { received[n].add(1) } }
            }
            for _ in 0..<threads / 2 {
                receivers.add()
                Thread.detachNewThread {
                    for n in channel { received[n].add(1) }
                    receivers.done()
                }
            }
            for _ in 0..<tasks / 2 {
                receivers.add()
                let delay = random.next() % 4
                let task = Task(executorPreference: executor) {
                    do { for try await n in channel { received[n].add(1) } } catch {}
                    receivers.done()
                }
                if delay > 0 {
                    Task(executorPreference: executor) {
                        for _ in 0..<delay { await Task.yield() }; task.cancel()
                    }
                }
            }

            var next = 0
            for _ in 0..<goroutines / 2 {
                let n = next
                next += 1
                senders.go {
                    channel <- n
                    sent[n].add(1)
                }
            }
            for _ in 0..<threads / 2 {
                let mine = next..<next + perThread
                next += perThread
                senders.add()
                Thread.detachNewThread {
                    for n in mine {
                        channel <- n
                        sent[n].add(1)
                    }
                    senders.done()
                }
            }
            for _ in 0..<tasks / 2 {
                let n = next
                next += 1
                senders.add()
                let delay = random.next() % 8
                let task = Task(executorPreference: executor) {
                    do {
                        try await channel.send(n)
                        sent[n].add(1)
                    } catch {}
                    senders.done()
                }
                if delay > 3 {
                    Task(executorPreference: executor) {
                        for _ in 4..<delay { await Task.yield() }; task.cancel()
                    }
                }
            }
            senders.wait()
            channel.close()
            receivers.wait()
            isDrained.close()
            for n in 0..<total {
                if sent[n].load() != received[n].load() || sent[n].load() > 1 {
                    Issue.record("\(n): sent \(sent[n].load()) times, received \(received[n].load()) times")
                }
            }
            #expect(sent.reduce(0) { $0 + $1.load() } >= goroutines / 2 + threads / 2 * perThread)
        }
    }

    /// Selects of tasks and goroutines against each other: with channels both ways, a semaphore, a mutex, timers and cancellation.
    @Test func tasksAndGoroutinesSelect() async {
        await stressTasks(rounds: 3, stressedRounds: 30) { executor, random in
            let a = Channel<Int>(), b = Channel<Int>(capacity: 2), slots = Semaphore(2), count = CSP.Mutex(0)
            let balance = SharedAtomic(0), locked = SharedAtomic(0)
            let stop = Channel<Never>(), all = WaitGroup(), tasksDone = WaitGroup()
            for _ in 0..<8 {
                all.go {
                    var isRunning = true
                    while isRunning {
                        select {
                            Receive(a) { _ in balance.add(-1) }
                            Send(1, to: a) { balance.add(1) }
                            Receive(b) { _ in balance.add(-1) }
                            Receive(stop) { _ in isRunning = false }
                        }
                    }
                }
            }
            for _ in 0..<200 {
                let patience = Int(random.next() % 100), delay = random.next() % 6
                tasksDone.add()
                let task = Task(executorPreference: executor) {
                    for _ in 0..<5 {
                        _ = try? await select {
                            Receive(a) { _ in _ = balance.add(-1) }
                            Send(2, to: b) { _ = balance.add(1) }
                            Acquire(slots) {}
                            Acquire(count) {
                                $0 += 1
                                locked.add(1)
                            }
                            After(.microseconds(patience)) {}
                        }
                    }
                    tasksDone.done()
                }
                if delay > 2 {
                    Task(executorPreference: executor) {
                        for _ in 2..<delay { await Task.yield() }; task.cancel()
                    }
                }
            }
            tasksDone.wait()
            stop.close()
            all.wait()
            #expect(balance.load() == b.count)
            #expect(slots.tryAcquire(2))
            #expect(count.withLock { $0 } == locked.load())
        }
    }

    @Test func callsFromTasksToGoroutinesAndBack() async {
        await stressTasks(rounds: 2, stressedRounds: 20) { executor, random in
            let all = WaitGroup(), sum = SharedAtomic(0), delay = random.next() % 4
            for n in 0..<200 {
                all.go {
                    sum.add(
                        runBlocking { () async -> Int in
                            for _ in 0..<delay { await Task.yield() }
                            return await Goroutine.run { () -> Int in
                                Goroutine.yield()
                                return n
                            }
                        })
                }
                all.add()
                let task = Task(executorPreference: executor) {
                    sum.add(
                        await Goroutine.run { () -> Int in
                            select {
                                Receive(Context.current.done) { _ in }
                                After(.microseconds(n)) {}
                            }
                            return n
                        })
                    all.done()
                }
                if n % 3 == 0 { task.cancel() }
            }
            all.wait()
            #expect(sum.load() == 199 * 200)
        }
    }
}
