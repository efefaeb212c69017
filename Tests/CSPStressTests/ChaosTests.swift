import CSP
import Dispatch
import Foundation
import Testing

/// Everything at once, as the seed says: goroutines that start others, park, block, compute, overflow queues, sleep and change their thread, while
/// the number of processors changes. Each goroutine decides by a generator of its own, so that a seed replays the same load. What must hold: all of
/// them end, each value that is sent is received once, and the invariants that the InternalChecks trait asserts.
@Suite(.serialized) struct ChaosTests {
    @Test func nothingIsLost() {
        let old = Scheduler.maxProcs
        defer { Scheduler.maxProcs = old }
        for round in 0..<rounds(12, stressed: 150) {
            let seed = firstSeed &+ UInt64(round)
            let chaos = Chaos()
            let finished = DispatchSemaphore(value: 0)
            go("chaos") {
                chaos.run(seed: seed)
                finished.signal()
            }
            if finished.wait(timeout: .now() + 120) == .timedOut {
                Issue.record("hangs, CSP_SEED=\(seed)\n\(Goroutine.dump())")
                return
            }
            #expect(chaos.started.load() == chaos.ended.load(), "CSP_SEED=\(seed)")
            #expect(chaos.sent.load() == chaos.received.load(), "CSP_SEED=\(seed)")
        }
    }
}

private final class Chaos: Sendable {
    let started = SharedAtomic(0), ended = SharedAtomic(0)
    let sent = SharedAtomic(0), received = SharedAtomic(0)
    private let all = WaitGroup()
    private let meetings = (0..<4).map { Channel<Int>(capacity: $0 % 3) }
    private let budget = SharedAtomic(4000)

    func run(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 { start(seed: random.next(), depth: 0) }
        for _ in 0..<4 {
            Scheduler.maxProcs = [1, 2, 3, 4, 8, 16].randomElement(using: &random)!
            Time.sleep(for: .microseconds(Int64.random(in: 0...3000, using: &random)))
        }
        all.wait()
    }

    /// False once there have been enough.
    @discardableResult
    private func start(seed: UInt64, depth: Int) -> Bool {
        guard budget.add(-1) >= 0 else { return false }
        started.add(1)
        all.go(stackSize: seed % 16 == 0 ? (128 << 10) << Int(seed / 16 % 4) : nil) { [self] in
            var random = SeededGenerator(seed: seed)
            for _ in 0..<Int.random(in: 1...6, using: &random) { step(&random, depth) }
            ended.add(1)
        }
        return true
    }

    private func step(_ random: inout SeededGenerator, _ depth: Int) {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<25: Goroutine.yield()
        case 25..<40: if depth < 6 { start(seed: random.next(), depth: depth + 1) }
        case 40..<60: meet(&random)
        case 60..<68: Time.sleep(for: .microseconds(Int64.random(in: 0...500, using: &random)))
        case 68..<72: usleep(UInt32.random(in: 0...300, using: &random))
        case 72..<78: blocking { _ = usleep(UInt32.random(in: 0...300, using: &random)) }
        case 78..<82: compute(&random)
        case 82..<86:
            Goroutine.withLockedThread {
                Goroutine.yield()
                if Bool.random(using: &random) { Time.sleep(for: .microseconds(50)) }
            }
        case 86..<88: burst(&random)
        case 88..<92: waitForChildren(&random, depth)
        case 92..<95: timers(&random)
        case 95..<97: thread(&random)
        default: Scheduler.maxProcs = Int.random(in: 1...8, using: &random)
        }
    }

    /// Sends or receives, whichever somebody else wants too; nobody stays for long.
    private func meet(_ random: inout SeededGenerator) {
        let first = meetings.randomElement(using: &random)!, second = meetings.randomElement(using: &random)!
        select {
            Send(1, to: first) { [sent] in _ = sent.add(1) }
            Receive(second) { [received] _ in _ = received.add(1) }
            After(.microseconds(Int64.random(in: 1...200, using: &random))) { () -> Void in }
        }
        // What is left in the buffers at the end was sent all the same.
        if case .value = first.tryReceive() { received.add(1) }
        for channel in meetings where budget.load() < 0 {
            if case .value = channel.tryReceive() { received.add(1) }
        }
    }

    private func compute(_ random: inout SeededGenerator) {
        let end = ContinuousClock.now + .microseconds(Int64.random(in: 0...2000, using: &random))
        while ContinuousClock.now < end {}
    }

    /// More than a local queue holds.
    private func burst(_ random: inout SeededGenerator) {
        let group = WaitGroup()
        let count = Int.random(in: 1...1500, using: &random)
        let sum = SharedAtomic(0)
        for _ in 0..<count { group.go { sum.add(1) } }
        group.wait()
        #expect(sum.load() == count)
    }

    private func waitForChildren(_ random: inout SeededGenerator, _ depth: Int) {
        let results = Channel<Int>()
        let count = Int.random(in: 1...5, using: &random)
        for index in 0..<count {
            go {
                if index % 2 == 0 { Goroutine.yield() }
                results <- index
            }
        }
        var sum = 0
        for _ in 0..<count { sum += results.receive()! }
        #expect(sum == count * (count - 1) / 2)
    }

    private func timers(_ random: inout SeededGenerator) {
        let timer = Time.Timer(.microseconds(Int64.random(in: 0...300, using: &random)))
        if Bool.random(using: &random) { Goroutine.yield() }
        if !timer.stop() { #expect(timer.channel.tryReceive().isEmpty) }
        timer.reset(.microseconds(10))
        #expect(timer.channel.receive() != nil)
    }

    private func thread(_ random: inout SeededGenerator) {
        let channel = Channel<Int>(), number = Int.random(in: 0...100, using: &random)
        Thread.detachNewThread { channel <- number }
        #expect(channel.receive() == number)
    }
}

extension ReceiveAttempt {
    fileprivate var isEmpty: Bool { if case .empty = self { true } else { false } }
}
