import CSP
import Foundation
import Testing

/// `CSP_STRESS=1`: at length. `CSP_STRESS=0`: one round with each number of processors, for where each takes long.
private let extent = ProcessInfo.processInfo.environment["CSP_STRESS"]
let stressing = extent == "1"

/// How many rounds a test has.
func rounds(_ usual: Int, stressed: Int) -> Int { stressing ? stressed : extent == "0" ? 1 : usual }

/// The first round's seed; the failing one is printed with each failure.
let firstSeed =
    ProcessInfo.processInfo.environment["CSP_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)

typealias SeededGenerator = SplitMix64

/// Runs `body` in a goroutine, `rounds` times with each number of processors. Serial suites only: the number is global.
func stress(
    rounds: Int, stressedRounds: Int, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (inout SeededGenerator) -> Void
) {
    let old = Scheduler.maxProcs
    defer { Scheduler.maxProcs = old }
    for procs in [1, 2, 4, 16] {
        Scheduler.maxProcs = procs
        for round in 0..<CSPStressTests.rounds(rounds, stressed: stressedRounds) {
            let seed = firstSeed &+ UInt64(round)
            let finished = DispatchSemaphore(value: 0)
            go("stress") {
                var random = SeededGenerator(seed: seed)
                body(&random)
                finished.signal()
            }
            if finished.wait(timeout: .now() + 120) == .timedOut {
                Issue.record("hangs with \(procs) processors, CSP_SEED=\(seed)", sourceLocation: sourceLocation)
                return
            }
        }
    }
}

/// A yield now and then, so that interleavings differ.
func maybeYield(_ random: inout SeededGenerator) {
    if random.next() % 8 == 0 { Goroutine.yield() }
}

/// Runs `body` with a number of its own in that many goroutines and threads at once, and waits for them. Each has its own random numbers.
func everywhere(
    goroutines: Int, threads: Int, _ random: inout SeededGenerator,
    _ body: @escaping @Sendable (Int, inout SeededGenerator) -> Void
) {
    let all = WaitGroup()
    all.add(goroutines + threads)
    for index in 0..<(goroutines + threads) {
        let seed = random.next()
        let run: @Sendable () -> Void = {
            var random = SeededGenerator(seed: seed)
            body(index, &random)
            all.done()
        }
        if index < goroutines { go { run() } } else { Thread.detachNewThread(run) }
    }
    all.wait()
}

func everywhere(
    goroutines: Int, threads: Int, _ random: inout SeededGenerator,
    _ body: @escaping @Sendable (inout SeededGenerator) -> Void
) {
    everywhere(goroutines: goroutines, threads: threads, &random) { _, random in body(&random) }
}
