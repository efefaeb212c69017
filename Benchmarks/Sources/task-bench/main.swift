import AsyncAlgorithms
import CSP
import Synchronization

// Round trips between Swift tasks and goroutines beside what Swift's tasks have among themselves, in one process and alternately: medians of
// several rounds, as a Markdown table.
//
//     task-bench [ROUNDS [ROW]]

/// Nanoseconds per operation.
func measure(_ operations: Int, _ body: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await body()
    return (ContinuousClock.now - start) / .nanoseconds(1) / Double(operations)
}

func check(_ condition: Bool) { precondition(condition, "wrong result") }

func channels(_ count: Int, startEcho: (Channel<Int>, Channel<Int>) -> Void) async throws -> Double {
    let there = Channel<Int>(), back = Channel<Int>()
    startEcho(there, back)
    let time = try await measure(count) {
        for n in 0..<count {
            try await there.send(n)
            let answer = try await back.receive()
            check(answer == n)
        }
    }
    there.close()
    return time
}

func asyncChannels(_ count: Int, _ executor: (any TaskExecutor)? = nil) async -> Double {
    let there = AsyncChannel<Int>(), back = AsyncChannel<Int>()
    Task(executorPreference: executor) { for await n in there { await back.send(n) } }
    var answers = back.makeAsyncIterator()
    let time = await measure(count) {
        for n in 0..<count {
            await there.send(n)
            let answer = await answers.next()
            check(answer == n)
        }
    }
    there.finish()
    return time
}

/// One task sends, another receives.
func items(_ count: Int, capacity: Int, _ executor: (any TaskExecutor)? = nil) async throws -> Double {
    let channel = Channel<Int>(capacity: capacity)
    var sum = 0
    let time = try await measure(count) {
        Task(executorPreference: executor) {
            for n in 0..<count { try await channel.send(n) }
            channel.close()
        }
        for try await n in channel { sum += n }
    }
    check(sum == count * (count - 1) / 2)
    return time
}

func asyncChannelItems(_ count: Int) async -> Double {
    let channel = AsyncChannel<Int>()
    var sum = 0
    let time = await measure(count) {
        Task {
            for n in 0..<count { await channel.send(n) }
            channel.finish()
        }
        for await n in channel { sum += n }
    }
    check(sum == count * (count - 1) / 2)
    return time
}

func asyncStreamItems(_ count: Int) async -> Double {
    let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
    var sum = 0
    let time = await measure(count) {
        Task {
            for n in 0..<count { continuation.yield(n) }
            continuation.finish()
        }
        for await n in stream { sum += n }
    }
    check(sum == count * (count - 1) / 2)
    return time
}

func asyncStreams(_ count: Int) async -> Double {
    let (there, send) = AsyncStream.makeStream(of: Int.self)
    let (back, reply) = AsyncStream.makeStream(of: Int.self)
    Task { for await n in there { reply.yield(n) } }
    var answers = back.makeAsyncIterator()
    let time = await measure(count) {
        for n in 0..<count {
            send.yield(n)
            let answer = await answers.next()
            check(answer == n)
        }
    }
    send.finish()
    return time
}

/// A value at a time, by a lock and a continuation each way: the least that two tasks can do with what the library of Swift itself has.
final class Rendezvous: Sendable {
    private enum State { case idle, value(Int), waiting(CheckedContinuation<Int, Never>) }
    private let state = Synchronization.Mutex(State.idle)

    func send(_ n: Int) {
        let waiting: CheckedContinuation<Int, Never>? = state.withLock {
            if case .waiting(let continuation) = $0 {
                $0 = .idle
                return continuation
            }
            $0 = .value(n)
            return nil
        }
        waiting?.resume(returning: n)
    }

    func receive() async -> Int {
        await withCheckedContinuation { continuation in
            let n: Int? = state.withLock {
                if case .value(let n) = $0 {
                    $0 = .idle
                    return n
                }
                $0 = .waiting(continuation)
                return nil
            }
            if let n { continuation.resume(returning: n) }
        }
    }
}

func continuations(_ count: Int, _ executor: (any TaskExecutor)? = nil) async -> Double {
    let there = Rendezvous(), back = Rendezvous()
    let echo = Task(executorPreference: executor) { for _ in 0..<count { back.send(await there.receive()) } }
    let time = await measure(count) {
        for n in 0..<count {
            there.send(n)
            let answer = await back.receive()
            check(answer == n)
        }
    }
    await echo.value
    return time
}

func onExecutor(_ body: sending @escaping () async throws -> Double) async throws -> Double {
    try await Task(executorPreference: Scheduler.taskExecutor, operation: body).value
}

let rows: [(name: String, run: @Sendable () async throws -> Double)] = [
    ("task ↔ task, `Channel`", { try await channels(50_000, startEcho: echoTask) }),
    (
        "task ↔ task, `Channel`, on `Scheduler.taskExecutor`",
        { try await onExecutor { try await channels(50_000, startEcho: echoTaskOnExecutor) } }
    ),
    ("task ↔ task, `AsyncChannel`", { await asyncChannels(20_000) }),
    ("task ↔ task, `AsyncStream`", { await asyncStreams(50_000) }),
    ("task ↔ task, lock and continuations", { await continuations(50_000) }),
    (
        "task ↔ task, lock and continuations, on `Scheduler.taskExecutor`",
        { try await onExecutor { await continuations(50_000, Scheduler.taskExecutor) } }
    ),
    (
        "task ↔ task, `AsyncChannel`, on `Scheduler.taskExecutor`",
        { try await onExecutor { await asyncChannels(20_000, Scheduler.taskExecutor) } }
    ),
    ("task → task, each item, `Channel`, unbuffered", { try await items(200_000, capacity: 0) }),
    ("task → task, each item, `Channel`, buffer 128", { try await items(1_000_000, capacity: 128) }),
    (
        "task → task, each item, `Channel`, buffer 128, on `Scheduler.taskExecutor`",
        { try await onExecutor { try await items(1_000_000, capacity: 128, Scheduler.taskExecutor) } }
    ),
    ("task → task, each item, `AsyncChannel`", { await asyncChannelItems(50_000) }),
    ("task → task, each item, `AsyncStream`", { await asyncStreamItems(500_000) }),
    ("task ↔ goroutine, `Channel`", { try await channels(50_000, startEcho: echoGoroutine) }),
    (
        "task ↔ goroutine, `Channel`, on `Scheduler.taskExecutor`",
        { try await onExecutor { try await channels(50_000, startEcho: echoGoroutine) } }
    ),
    (
        "`Goroutine.run` from a task",
        { await measure(20_000) { for n in 0..<20_000 { check(await Goroutine.run { n } == n) } } }
    ),
    (
        "`Goroutine.run` from a task on `Scheduler.taskExecutor`",
        {
            try await onExecutor {
                await measure(20_000) { for n in 0..<20_000 { check(await Goroutine.run { n } == n) } }
            }
        }
    ),
    (
        "`runBlocking` from a goroutine, no suspension",
        { await Goroutine.run { blockingCalls { n in n } } }
    ),
    (
        "`runBlocking` from a goroutine, one `Task.yield`",
        {
            await Goroutine.run {
                blockingCalls { n in
                    await Task.yield()
                    return n
                }
            }
        }
    ),
    (
        "send and receive that need not wait, buffer 1",
        {
            let channel = Channel<Int>(capacity: 1)
            return try await measure(1_000_000) {
                for n in 0..<1_000_000 {
                    try await channel.send(n)
                    let m = try await channel.receive()
                    check(m == n)
                }
            }
        }
    ),
]

@Sendable func echoTask(_ there: Channel<Int>, _ back: Channel<Int>) {
    Task { for try await n in there { try await back.send(n) } }
}
@Sendable func echoTaskOnExecutor(_ there: Channel<Int>, _ back: Channel<Int>) {
    Task(executorPreference: Scheduler.taskExecutor) { for try await n in there { try await back.send(n) } }
}
@Sendable func echoGoroutine(_ there: Channel<Int>, _ back: Channel<Int>) {
    go { for n in there { back <- n } }
}

func blockingCalls(_ body: @escaping @Sendable (Int) async -> Int) -> Double {
    let start = ContinuousClock.now
    for n in 0..<20_000 {
        let m = runBlocking { () async -> Int in await body(n) }
        check(m == n)
    }
    return (ContinuousClock.now - start) / .nanoseconds(1) / 20_000
}

let arguments = CommandLine.arguments.dropFirst().map { Int($0)! }
let rounds = arguments.first ?? 5
let chosen = arguments.count > 1 ? [rows[arguments[1]]] : rows
var times = [[Double]](repeating: [], count: chosen.count)
for _ in 0..<rounds {
    for (index, row) in chosen.enumerated() { times[index].append(try await row.run()) }
}
print("| operation | ns | least to most |")
print("|---|---:|---:|")
for (row, times) in zip(chosen, times) {
    let sorted = times.sorted()
    print("| \(row.name) | \(Int(sorted[sorted.count / 2])) | \(Int(sorted[0])) to \(Int(sorted.last!)) |")
}
