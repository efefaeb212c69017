import CSP
import Foundation
import Synchronization

/// A run of a program on real channels, and the history of it.
final class ChannelRun: Sendable {
    /// Who follows a script.
    enum Kind: CaseIterable { case goroutine, thread, task }

    private let program: ChannelProgram
    private let channels: [Channel<Int>]
    private let kinds: [Kind]
    /// The time: counts beginnings, ends, and quiet moments.
    private let clock = Atomic<Int>(0)
    /// One for each script, and one for the rescuer.
    private let logs: [ChannelLog]
    private let arrived = Atomic<Int>(0)
    private let finished = Atomic<Int>(0)
    private let isOver = Atomic<Bool>(false)

    init(_ program: ChannelProgram, _ kinds: [Kind]) {
        self.program = program
        self.kinds = kinds
        channels = program.capacities.map { Channel(capacity: $0) }
        logs = (0...program.scripts.count).map { _ in ChannelLog() }
    }

    private func tick() -> Int { clock.add(1, ordering: .acquiringAndReleasing).newValue }

    // MARK: Scripts

    private func start(_ script: Int, meetsOthers: Bool, _ random: inout SeededGenerator) {
        let seed = random.next()
        switch kinds[script] {
        case .goroutine: go { self.follow(script, meetsOthers, seed) }
        case .thread: Thread.detachNewThread { self.follow(script, meetsOthers, seed) }
        case .task:
            // On goroutines' threads: other suites may hold Swift's.
            Task(executorPreference: Scheduler.taskExecutor) {
                try await self.followSuspending(script, meetsOthers, seed)
            }
        }
    }

    @available(*, noasync)
    private func follow(_ script: Int, _ meetsOthers: Bool, _ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        arrived.add(1, ordering: .relaxed)
        while meetsOthers, !allHaveArrived { Goroutine.yield() }
        for step in program.scripts[script] {
            if isOver.load(ordering: .acquiring) { break }
            pause(&random)
            logs[script].begin(step.operation, at: tick())
            let outcome = program.operations[step.operation].perform(on: channels, step.form)
            logs[script].end(outcome, at: tick())
        }
        finished.add(1, ordering: .releasing)
    }

    private func followSuspending(_ script: Int, _ meetsOthers: Bool, _ seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        arrived.add(1, ordering: .relaxed)
        while meetsOthers, !allHaveArrived { await Task.yield() }
        for step in program.scripts[script] {
            if isOver.load(ordering: .acquiring) { break }
            pause(&random)
            logs[script].begin(step.operation, at: tick())
            let outcome = try await program.operations[step.operation].performSuspending(on: channels, step.form)
            logs[script].end(outcome, at: tick())
        }
        finished.add(1, ordering: .releasing)
    }

    private var allHaveArrived: Bool { arrived.load(ordering: .relaxed) == kinds.count }

    /// For some hundred nanoseconds, or until others have run, or not at all.
    private func pause(_ random: inout SeededGenerator) {
        maybeYield(&random)
        for _ in 0..<(random.next() % 4 == 0 ? Int(random.next() % 64) : 0) { _ = clock.load(ordering: .relaxed) }
    }

    // MARK: The whole

    /// Runs it all, in a goroutine. Returns what was wrong, or nil.
    ///
    /// - Parameter isStaged: Each script begins only when all before wait or have ended. Then it is known who waited first.
    func firstError(isStaged: Bool, _ random: inout SeededGenerator) -> String? {
        var moments: [Int] = []
        for script in kinds.indices {
            start(script, meetsOthers: !isStaged, &random)
            guard isStaged else { continue }
            guard let moment = nextQuietMoment(started: script + 1) else { return hanging(moments) }
            moments.append(moment)
        }
        var rescues: [ChannelOperation] = []
        while true {
            guard let moment = nextQuietMoment(started: kinds.count) else { return hanging(moments) }
            moments.append(moment)
            // Some are stuck: go on from there, while there is room in the history.
            guard rescues.count < 12, let rescue = makeRescue(rescues.count, &random) else { break }
            rescues.append(rescue)
            let log = logs.last!
            log.begin(program.operations.count + rescues.count - 1, at: tick())
            log.end(rescue.perform(on: channels, .call), at: tick())
        }
        if let error = history(moments, rescues).firstError() { return error }
        return end() ? nil : "nobody else can go on after\n\(history(moments, rescues))"
    }

    /// Waits until none of the started scripts can go on by itself: each has ended, or waits on some channel. Returns when that was; nil when it
    /// takes so long that it will never be.
    ///
    /// All were waiting at one moment if the clock has stood still while they were looked at. For suppose that one that was seen to wait had been made ready
    /// by another before that one was seen, too: then the other has ended one operation and begun the next in between.
    private func nextQuietMoment(started: Int) -> Int? {
        var patience = Patience()
        var last = -1
        while true {
            let before = clock.load(ordering: .acquiring)
            // To look is to change: a lock that is taken and released publishes what can be done. So not while something goes on.
            if before != last {
                last = before
                if !patience.wait() { return nil }
                continue
            }
            let left = started - finished.load(ordering: .acquiring)
            let waiting = channels.reduce(into: Set<UInt>()) { all, channel in
                let waits = channel.waits
                all.formUnion(waits.receiving)
                all.formUnion(waits.sending)
            }
            if waiting.count == left, clock.load(ordering: .acquiring) == before { return tick() }
            if !patience.wait() { return nil }
        }
    }

    /// Something that lets one of those go on who wait; nil when there is nothing that one may do.
    private func makeRescue(_ number: Int, _ random: inout SeededGenerator) -> ChannelOperation? {
        for channel in channels.indices.shuffled(using: &random) {
            let waits = channels[channel].waits
            if !waits.sending.isEmpty { return .tryReceive(from: channel) }
            if !waits.receiving.isEmpty, program.owners[channel] == nil { return .trySend(1000 + number, to: channel) }
        }
        return nil
    }

    /// Lets all go that still wait. False when that cannot be done.
    private func end() -> Bool {
        isOver.store(true, ordering: .releasing)
        var patience = Patience()
        while finished.load(ordering: .acquiring) < kinds.count {
            for channel in channels {
                let waits = channel.waits
                if !waits.sending.isEmpty { _ = channel.tryReceive() }
                // The history was right, so nobody waits to receive from a closed one.
                if !waits.receiving.isEmpty { _ = channel.trySend(0) }
            }
            if !patience.wait() { return false }
        }
        return true
    }

    private func history(_ moments: [Int], _ rescues: [ChannelOperation]) -> ChannelHistory {
        var events: [(time: Int, ChannelHistory.Event)] = moments.map { ($0, .quiet) }
        for log in logs {
            for record in log.records {
                events.append((record.begin, .call(record.operation)))
                if let end = record.end { events.append((end.time, .end(record.operation, end.outcome))) }
            }
        }
        return ChannelHistory(
            capacities: program.capacities, operations: program.operations + rescues,
            events: events.sorted { $0.time < $1.time }.map(\.1))
    }

    private func hanging(_ moments: [Int]) -> String {
        "somebody is in no line, and does not go on: \(channels.map(\.waits)) after\n\(history(moments, []))"
    }
}

/// What one script has done. Its lock is hardly ever contended, so it orders nothing between scripts.
private final class ChannelLog: Sendable {
    struct Record {
        let operation: Int
        let begin: Int
        var end: (time: Int, outcome: ChannelOutcome)?
    }

    private let all = Synchronization.Mutex<[Record]>([])

    var records: [Record] { all.withLock { $0 } }

    func begin(_ operation: Int, at time: Int) {
        all.withLock { $0.append(Record(operation: operation, begin: time)) }
    }

    func end(_ outcome: ChannelOutcome, at time: Int) {
        all.withLock { $0[$0.count - 1].end = (time, outcome) }
    }
}

/// Waits a little again and again: first for who runs here, then for other threads.
private struct Patience {
    private var rounds = 0
    private let start = Time.now

    /// False when it has come to an end, which no run reaches that goes on at all.
    mutating func wait() -> Bool {
        rounds += 1
        if rounds < 100 { Goroutine.yield() } else { Time.sleep(for: .microseconds(50)) }
        return Time.now - start < .seconds(120)
    }
}
