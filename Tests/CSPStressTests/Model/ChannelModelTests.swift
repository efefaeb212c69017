import CSP
import CSPTesting
import Testing

/// Small programs made by chance: whatever real channels do, the model could have done.
@Suite(.serialized, .timeLimit(.minutes(30))) struct ChannelModelTests {
    private func runPrograms(
        rounds: Int, stressedRounds: Int,
        _ kind: @escaping @Sendable (inout SeededGenerator) -> ChannelRun.Kind
    ) async {
        let old = Scheduler.maxProcs
        defer { Scheduler.maxProcs = old }
        for procs in [1, 2, 4, 16] {
            Scheduler.maxProcs = procs
            for round in 0..<(stressing ? stressedRounds : rounds) {
                let seed = firstSeed &+ UInt64(round)
                let error: String? = await Goroutine.run {
                    var random = SeededGenerator(seed: seed)
                    let program = ChannelProgram(&random)
                    let run = ChannelRun(program, program.scripts.map { _ in kind(&random) })
                    return run.firstError(isStaged: random.next() % 4 == 0, &random)
                }
                guard let error else { continue }
                Issue.record("CSP_SEED=\(seed), \(procs) processors, round \(round): \(error)")
                return
            }
        }
    }

    @Test func goroutines() async {
        await runPrograms(rounds: 400, stressedRounds: 20_000) { _ in .goroutine }
    }

    @Test func threads() async {
        await runPrograms(rounds: 100, stressedRounds: 3_000) { _ in .thread }
    }

    @Test func goroutinesThreadsAndTasks() async {
        await runPrograms(rounds: 100, stressedRounds: 4_000) { random in
            ChannelRun.Kind.allCases.randomElement(using: &random)!
        }
    }

    /// The same in the orders that `explore` tries.
    @Test func goroutinesThatTakeTurns() async {
        for round in 0..<(stressing ? 3_000 : 120) {
            let seed = firstSeed &+ UInt64(round)
            let failure = await Goroutine.run {
                Exploration.firstFailure(iterations: 20, seed: seed) {
                    var random = SeededGenerator(seed: seed)
                    let program = ChannelProgram(&random)
                    let run = ChannelRun(program, program.scripts.map { _ in .goroutine })
                    let error = run.firstError(isStaged: random.next() % 4 == 0, &random)
                    Exploration.expect(error == nil, error!)
                }
            }
            guard let failure else { continue }
            Issue.record("CSP_SEED=\(seed), round \(round): \(failure)")
            return
        }
    }
}
