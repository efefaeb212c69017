import CSP
import CSPTesting
import Testing

/// What `explore` finds in wrong code, and that it finds nothing in right code.
@Suite struct ExploreTests {
    // MARK: Right

    @Test func valuesAddUpInAnyOrder() {
        explore(iterations: 300) {
            let numbers = Channel<Int>(capacity: 1), sums = Channel<Int>()
            for n in 1...3 { go { numbers <- n } }
            go { sums <- (numbers.receive()! + numbers.receive()! + numbers.receive()!) }
            Exploration.expect(sums.receive()! == 6)
        }
    }

    @Test func timeoutsTakeNoTime() {
        explore(iterations: 100) {
            let never = Channel<Int>()
            let start = Time.now
            let isLate = select {
                Receive(never) { _ in false }
                After(.seconds(3600)) { true }
            }
            Exploration.expect(isLate && Time.now - start == .seconds(3600))
        }
    }

    @Test func itRunsInTasks() async {
        await explore(iterations: 20) {
            let done = Channel<Never>()
            go { done.close() }
            done.receive()
        }
    }

    @Test func itRunsInGoroutines() {
        Goroutine.run {
            explore(iterations: 20) {
                let done = Channel<Never>()
                go { done.close() }
                done.receive()
            }
        }
    }

    // MARK: Wrong

    /// The first failure within so many iterations, from several seeds.
    private func find(
        _ iterations: Int = 2000, _ body: @escaping @Sendable () throws -> Void
    ) throws -> ExplorationFailure {
        for seed in 2...UInt64(5) {
            let other = Exploration.firstFailure(iterations: iterations, seed: seed, body)
            #expect(other != nil)
        }
        return try #require(Exploration.firstFailure(iterations: iterations, seed: 1, body))
    }

    // What needs a change of turn where nobody waits: not in release builds.
    #if DEBUG
        @Test func locksTakenInTwoOrders() throws {
            let failure = try find {
                let a = Mutex(), b = Mutex(), all = WaitGroup()
                all.go { a.withLock { _ in b.withLock { _ in } } }
                all.go { b.withLock { _ in a.withLock { _ in } } }
                all.wait()
            }
            #expect(failure.reason == .deadlock)
            #expect(failure.goroutines.contains("sync.Mutex.Lock"))
            #expect(failure.trace.contains("lock  mutex 1"))
        }

        @Test func aCheckThatIsNotUnderTheLock() throws {
            let failure = try find {
                let money = SharedAtomic(100), all = WaitGroup()
                for _ in 0..<2 { all.go { if money.load() >= 100 { money.add(-100) } } }
                all.wait()
                Exploration.expect(money.load() >= 0, "overdrawn")
            }
            guard case .failed(let message) = failure.reason else { return #expect(Bool(false), "\(failure.reason)") }
            #expect(message.hasPrefix("overdrawn, CSPTestingTests/ExploreTests.swift:"))
        }

        @Test func aSignalThatNobodyWaitsForYet() throws {
            let failure = try find {
                let isReady = SharedAtomic(0), bell = Channel<Void>(), done = Channel<Never>()
                go {
                    isReady.store(1)
                    // Lost unless the other one waits already.
                    _ = bell.trySend(())
                    done.close()
                }
                if isReady.load() == 0 { bell.receive() }
                done.receive()
            }
            #expect(failure.reason == .deadlock)
        }

    #endif

    @Test func aTimeoutThatLeavesItsWorkerBehind() throws {
        let failure = try find {
            let answers = Channel<Int>()
            go {
                Time.sleep(for: .seconds(1))
                answers <- 7
            }
            select {
                Receive(answers) { _ in }
                After(.seconds(2)) {}
            }
        }
        #expect(failure.reason == .leftover)
        #expect(failure.trace.contains("have passed"))
    }

    @Test func anErrorThatIsThrown() throws {
        struct Wrong: Error {}
        let failure = try find(1) { throw Wrong() }
        #expect(failure.reason == .failed("error thrown: Wrong()"))
        #expect(failure.iteration == 0)
    }

    @Test func aLoopThatNeverEnds() throws {
        let failure = try #require(
            Exploration.firstFailure(iterations: 1, mostSteps: 500) {
                let never = Channel<Int>()
                while case .empty = never.tryReceive() { Goroutine.yield() }
            })
        #expect(failure.reason == .failed("no end after 500 steps"))
    }

    // MARK: Again

    #if DEBUG
        @Test func aSeedMakesTheSameHappenAgain() throws {
            @Sendable func scenario() {
                let a = Channel<Int>(capacity: 1), b = Channel<Int>(), lock = Mutex(0), all = WaitGroup()
                for n in 1...3 {
                    all.go {
                        a <- n
                        lock.withLock { $0 = $0 * 10 + n }
                        Time.sleep(for: .milliseconds(n))
                        select {
                            Send(n, to: b) {}
                            After(.milliseconds(2)) {}
                        }
                    }
                }
                var sum = 0
                for _ in 1...3 {
                    sum = sum * 10 + a.receive()!
                    select {
                        Receive(b) { value in sum += value ?? 0 }
                        Default {}
                    }
                }
                all.wait()
                Exploration.expect(sum == 123 && lock.withLock { $0 } == 321)
            }
            for seed in 1...20 as ClosedRange<UInt64> {
                let first = try #require(Exploration.firstFailure(seed: seed, scenario))
                for _ in 0..<5 {
                    let again = try #require(Exploration.firstFailure(iterations: 1, seed: first.seed, scenario))
                    #expect(again.trace == first.trace)
                    #expect(again.reason == first.reason)
                }
            }
        }
    #endif
}
