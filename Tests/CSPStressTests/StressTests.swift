import CSP
import Testing

/// Exact results, whatever the interleaving. Serial: each test changes the number of processors under way.
@Suite(.serialized) struct StressTests {
    @Test func primeSieve() {
        stress(rounds: 5, stressedRounds: 300) { _ in
            var numbers = Channel<Int>()
            let quit = Channel<Never>()
            let finished = WaitGroup()
            finished.go { [numbers] in
                for n in 2... { if !offer(n, to: numbers, unless: quit) { return } }
            }
            var primes: [Int] = []
            for _ in 0..<100 {
                let prime = (<-numbers)!
                primes.append(prime)
                let filtered = Channel<Int>()
                finished.go { [numbers] in
                    while let n: Int = select({
                        Receive(numbers) { value -> Int? in value }
                        Receive(quit) { _ -> Int? in nil }
                    }) {
                        if n % prime != 0, !offer(n, to: filtered, unless: quit) { return }
                    }
                }
                numbers = filtered
            }
            quit.close()
            finished.wait()
            #expect(primes.prefix(5) == [2, 3, 5, 7, 11] && primes.last == 541)
        }
    }

    @Test func pingPong() {
        stress(rounds: 20, stressedRounds: 1000) { random in
            let capacity = Int(random.next() % 3)
            let ping = Channel<Int>(capacity: capacity), pong = Channel<Int>(capacity: capacity)
            go {
                for n in ping { pong <- n + 1 }
                pong.close()
            }
            for n in 0..<500 {
                ping <- n
                #expect((<-pong) == n + 1)
            }
            ping.close()
            #expect((<-pong) == nil)
        }
    }

    @Test func fanInAndOut() {
        stress(rounds: 20, stressedRounds: 1000) { random in
            let jobs = Channel<Int>(capacity: Int(random.next() % 5)), sums = Channel<Int>()
            let producers = WaitGroup()
            for p in 0..<8 {
                let seed = random.next()
                producers.go {
                    var random = SeededGenerator(seed: seed)
                    for n in 0..<100 {
                        maybeYield(&random)
                        jobs <- p * 100 + n
                    }
                }
            }
            go {
                producers.wait()
                jobs.close()
            }
            for _ in 0..<8 {
                let seed = random.next()
                go {
                    var random = SeededGenerator(seed: seed)
                    var sum = 0
                    for job in jobs {
                        maybeYield(&random)
                        sum += job
                    }
                    sums <- sum
                }
            }
            var total = 0
            for _ in 0..<8 { total += (<-sums)! }
            #expect(total == 800 * 799 / 2)
        }
    }

    /// Senders and receivers on the same channels by every kind of select; each value arrives once.
    @Test func selectStorm() {
        stress(rounds: 20, stressedRounds: 1500) { random in
            let channels = (0..<3).map { _ in Channel<Int>(capacity: Int(random.next() % 3)) }
            let finished = Channel<Never>()
            let senders = WaitGroup(), receivers = WaitGroup()
            let sent = SharedAtomic(0), received = SharedAtomic(0), count = SharedAtomic(0)
            for s in 0..<6 {
                let seed = random.next()
                senders.go {
                    var random = SeededGenerator(seed: seed)
                    for n in 0..<100 {
                        let value = s * 1000 + n
                        var isSent = false
                        while !isSent {
                            maybeYield(&random)
                            switch random.next() % 4 {
                            case 0:
                                isSent = select {
                                    Send(value, to: channels[0]) { true }
                                    Send(value, to: channels[1]) { true }
                                    Send(value, to: channels[2]) { true }
                                }
                            case 1:
                                isSent = select {
                                    Send(value, to: channels[1]) { true }
                                    Default { false }
                                }
                            case 2:
                                isSent = select {
                                    Send(value, to: channels[2]) { true }
                                    After(.microseconds(20)) { false }
                                }
                            default:
                                isSent = channels[0].trySend(value)
                            }
                        }
                        sent.add(value)
                    }
                }
            }
            for _ in 0..<6 {
                let seed = random.next()
                receivers.go {
                    var random = SeededGenerator(seed: seed)
                    var open = true
                    func take(_ value: Int?) {
                        guard let value else { return }
                        received.add(value)
                        count.add(1)
                    }
                    while open {
                        maybeYield(&random)
                        if random.next() % 2 == 0 {
                            select {
                                Receive(channels[0]) { take($0) }
                                Receive(channels[1]) { take($0) }
                                Receive(channels[2]) { take($0) }
                                Receive(finished) { _ in open = false }
                            }
                        } else {
                            select(
                                channels.map { channel in AnySelectCase(Receive(channel) { take($0) }) } + [
                                    AnySelectCase(Receive(finished) { _ in open = false })
                                ])
                        }
                    }
                }
            }
            senders.wait()
            // What is still in a buffer is taken here.
            for channel in channels {
                while case .value(let value) = channel.tryReceive() {
                    received.add(value)
                    count.add(1)
                }
            }
            finished.close()
            receivers.wait()
            #expect(count.load() == 600)
            #expect(received.load() == sent.load())
        }
    }

    @Test func ring() {
        stress(rounds: 5, stressedRounds: 200) { _ in
            let first = Channel<Int>()
            var last = first
            for _ in 0..<500 {
                let next = Channel<Int>()
                go { [last] in
                    for n in last { next <- n + 1 }
                    next.close()
                }
                last = next
            }
            go {
                for n in 0..<20 { first <- n }
                first.close()
            }
            var results: [Int] = []
            for n in last { results.append(n) }
            #expect(results == Array(500..<520))
        }
    }

    @Test func timersSetAndStopped() {
        stress(rounds: 5, stressedRounds: 200) { random in
            let fired = SharedAtomic(0), stopped = SharedAtomic(0)
            let finished = WaitGroup()
            for _ in 0..<20 {
                let seed = random.next()
                finished.go {
                    var random = SeededGenerator(seed: seed)
                    for _ in 0..<20 {
                        let timer = Time.Timer(.microseconds(Int(random.next() % 100))) { fired.add(1) }
                        Time.sleep(for: .microseconds(Int(random.next() % 100)))
                        if random.next() % 2 == 0, timer.reset(.microseconds(Int(random.next() % 50))) {
                            maybeYield(&random)
                        }
                        if timer.stop() { stopped.add(1) }
                    }
                }
            }
            finished.wait()
            // A timer runs its function at most once for each setting: 800 in all; each one stopped is one not run.
            #expect(fired.load() + stopped.load() <= 800)
        }
    }

    /// The last reference to a timer's channel, or to what a timer's function holds, goes just when it fires.
    @Test func timersAbandonedAsTheyFire() {
        // Setting a timer takes the lock that its firing holds.
        final class SetsATimer: Sendable {
            func use() {}
            deinit { _ = Time.after(.seconds(10)) }
        }
        stress(rounds: 2, stressedRounds: 100) { random in
            let all = WaitGroup()
            for _ in 0..<8 {
                var random = SeededGenerator(seed: random.next())
                all.go {
                    for _ in 0..<200 {
                        let delay = Int64(random.next() % 20_000)
                        let channel = Time.after(.nanoseconds(delay)), start = Time.now
                        let object = SetsATimer()
                        _ = Time.Timer(.nanoseconds(delay)) { object.use() }
                        while start.duration(to: Time.now) < .nanoseconds(delay) {}
                        withExtendedLifetime(channel) {}
                        if random.next() % 4 == 0 { Goroutine.yield() }
                    }
                }
            }
            all.wait()
        }
    }

    @Test func spawnStorm() {
        stress(rounds: 5, stressedRounds: 200) { _ in
            let leaves = SharedAtomic(0)
            let finished = WaitGroup()
            @Sendable func tree(_ depth: Int) {
                guard depth > 0 else {
                    leaves.add(1)
                    return
                }
                for _ in 0..<8 { finished.go { tree(depth - 1) } }
            }
            tree(4)
            finished.wait()
            #expect(leaves.load() == 4096)
        }
    }

    /// The number of processors changes while everything runs.
    @Test func processorsComeAndGo() {
        stress(rounds: 3, stressedRounds: 100) { random in
            let values = Channel<Int>(), finished = WaitGroup()
            for n in 0..<50 { finished.go { for _ in 0..<50 { values <- n } } }
            go {
                finished.wait()
                values.close()
            }
            var sum = 0, count = 0
            for n in values {
                sum += n
                count += 1
                if count % 100 == 0 { Scheduler.maxProcs = Int(random.next() % 8) + 1 }
            }
            #expect(sum == 50 * 49 / 2 * 50)
        }
    }
}

private func offer(_ n: Int, to channel: Channel<Int>, unless quit: Channel<Never>) -> Bool {
    select {
        Send(n, to: channel) { true }
        Receive(quit) { _ in false }
    }
}
