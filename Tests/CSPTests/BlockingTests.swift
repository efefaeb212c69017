import CSP
import Foundation
import Testing

/// Calls that block or compute, and what they leave to others. Serial: the number of processors is global.
@Suite(.serialized) struct BlockingTests {
    struct Broken: Error, Equatable {}

    @Test func blockingReturnsWhatItsBodyReturns() {
        inGoroutine { #expect(blocking { 7 } == 7) }
        #expect(blocking { 7 } == 7)
    }

    @Test func blockingThrowsWhatItsBodyThrows() {
        inGoroutine {
            #expect(throws: Broken.self) { try blocking { () throws(Broken) in throw Broken() } }
            // And the goroutine is whole.
            Goroutine.yield()
        }
    }

    @Test func blockingMayBeNestedAndPark() {
        withProcessors(1) {
            let channel = Channel<Int>()
            go { channel <- 1 }
            let received = blocking { blocking { channel.receive() } }
            #expect(received == 1)
        }
    }

    /// Each of them would hold the only processor for ever.
    @Test func othersRunWhileOneBlocksForGood() {
        withProcessors(1) {
            let gates = (0..<4).map { _ in DispatchSemaphore(value: 0) }
            let ended = WaitGroup()
            for gate in gates { ended.go { blocking { gate.wait() } } }
            Goroutine.yield()
            for gate in gates { gate.signal() }
            ended.wait()
        }
    }

    /// Nobody says that these block; the monitor sees it.
    @Test func othersRunWhileSystemCallsBlock() {
        withProcessors(2) {
            let gates = (0..<8).map { _ in DispatchSemaphore(value: 0) }
            let ended = WaitGroup()
            for gate in gates { ended.go { gate.wait() } }
            let last = Channel<Void>()
            go { last <- () }
            last.receive()
            for gate in gates { gate.signal() }
            ended.wait()
        }
    }

    @Test func othersRunWhileSomeCompute() {
        withProcessors(2) {
            let stop = SharedAtomic(0)
            let ended = WaitGroup()
            for _ in 0..<5 { ended.go { while stop.load() == 0 {} } }
            let last = Channel<Void>()
            go { last <- () }
            last.receive()
            Time.sleep(for: .milliseconds(1))
            stop.store(1)
            ended.wait()
        }
    }

    // MARK: Fairness

    /// Whatever the first two do, the third gets its turn, on the only processor.
    @Test(arguments: ["ping-pong", "yielding", "spawning", "timers"])
    func nobodyStarvesBehind(_ kind: String) {
        withProcessors(1) {
            let stop = SharedAtomic(0)
            let ended = WaitGroup()
            busy(kind, stop, ended)
            // From this processor's queue, from a thread outside through the global queue, and by a timer.
            let inside = Channel<Int>(), outside = Channel<Int>()
            go { inside <- 1 }
            startThread { go { outside <- 2 } }
            #expect(inside.receive() == 1)
            #expect(outside.receive() == 2)
            #expect(Time.after(.milliseconds(1)).receive() != nil)
            Time.sleep(for: .milliseconds(1))
            stop.store(1)
            ended.wait()
        }
    }

    private func busy(_ kind: String, _ stop: SharedAtomic<Int>, _ ended: WaitGroup) {
        switch kind {
        case "ping-pong":
            let ping = Channel<Int>(), pong = Channel<Int>()
            ended.go { for ball in ping { pong <- ball } }
            ended.go {
                while stop.load() == 0 {
                    ping <- 1
                    pong.receive()
                }
                ping.close()
            }
        case "yielding":
            for _ in 0..<3 { ended.go { while stop.load() == 0 { Goroutine.yield() } } }
        case "spawning":
            @Sendable func again() { if stop.load() == 0 { ended.go { again() } } }
            for _ in 0..<3 { ended.go { again() } }
        default:
            for _ in 0..<3 { ended.go { while stop.load() == 0 { Time.sleep(for: .nanoseconds(1)) } } }
        }
    }

    // MARK: Locked threads

    @Test(arguments: [1, 2, 4])
    func aLockedGoroutineStaysOnItsThread(_ processors: Int) {
        withProcessors(processors) {
            let all = WaitGroup()
            let strangers = SharedAtomic(0)
            for _ in 0..<4 {
                all.go {
                    Goroutine.withLockedThread {
                        let own = pthread_self()
                        let channel = Channel<Int>()
                        for round in 0..<50 {
                            // On whatever thread this runs, it is not ours.
                            go {
                                if pthread_equal(pthread_self(), own) != 0 { strangers.add(1) }
                                channel <- round
                            }
                            #expect(channel.receive() == round)
                            #expect(pthread_equal(pthread_self(), own) != 0)
                            if round % 10 == 0 { Time.sleep(for: .microseconds(100)) }
                            if round % 10 == 5 { Goroutine.yield() }
                            if round % 10 == 7 { blocking { _ = usleep(100) } }
                            #expect(pthread_equal(pthread_self(), own) != 0)
                        }
                    }
                }
            }
            all.wait()
            #expect(strangers.load() == 0)
        }
    }

    @Test func lockingNestsAndEnds() {
        inGoroutine {
            let sum = Goroutine.withLockedThread { Goroutine.withLockedThread { 1 } + 2 }
            #expect(sum == 3)
            #expect(throws: Broken.self) { try Goroutine.withLockedThread { () throws(Broken) in throw Broken() } }
            // As any other again.
            let channel = Channel<Int>()
            go { channel <- 1 }
            #expect(channel.receive() == 1)
        }
        #expect(Goroutine.withLockedThread { 7 } == 7)
    }

    // MARK: Threads

    @Test func theThreadLimitCanBeRead() {
        let old = Scheduler.maxThreads
        Scheduler.maxThreads = 5000
        #expect(Scheduler.maxThreads == 5000)
        Scheduler.maxThreads = old
    }

    private func withProcessors(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        let old = Scheduler.maxProcs
        Scheduler.maxProcs = count
        defer { Scheduler.maxProcs = old }
        inGoroutine { body() }
    }
}
