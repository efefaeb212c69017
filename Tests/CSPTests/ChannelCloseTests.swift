import CSP
import Testing

@Suite struct ChannelCloseTests {
    @Test func receiveOnAClosedChannelIsNilForEver() {
        onThread {
            let channel = Channel<Int>()
            channel.close()
            for _ in 0..<10 { #expect(channel.receive() == nil) }
            #expect(Attempt(channel.tryReceive()) == .closed)
        }
    }

    @Test func bufferedValuesComeBeforeTheEnd() {
        onThread {
            let channel = Channel<Int>(capacity: 3)
            for n in 0..<3 { channel <- n }
            channel.close()
            #expect(channel.count == 3)
            #expect(channel.receive() == 0)
            #expect(Attempt(channel.tryReceive()) == .value(1))
            #expect(channel.receive() == 2)
            #expect(channel.receive() == nil)
            #expect(Attempt(channel.tryReceive()) == .closed)
            #expect(channel.count == 0)
            #expect(channel.capacity == 3)
        }
    }

    @Test(arguments: [0, 4])
    func closeWakesParkedReceivers(capacity: Int) {
        inGoroutine {
            let channel = Channel<Int>(capacity: capacity)
            let finished = WaitGroup()
            let woken = SharedAtomic(0)
            for _ in 0..<200 {
                finished.go { if channel.receive() == nil { woken.add(1) } }
            }
            settle()
            channel.close()
            finished.wait()
            #expect(woken.load() == 200)
        }
    }

    @Test func closeWakesParkedThreads() {
        let channel = Channel<Int>()
        let woken = Channel<Bool>(capacity: 8)
        for _ in 0..<8 {
            startThread { woken <- (channel.receive() == nil) }
        }
        inGoroutine {
            settle()
            channel.close()
            for _ in 0..<8 { #expect(woken.receive() == true) }
        }
    }

    /// As in Go, where a close wakes receivers first.
    @Test func aSelectOfBothDirectionsReceivesNil() async throws {
        let channels = (0..<3).map { _ in Channel<Int>() }, chosen = Channel<String>(capacity: 3)
        let choose: @Sendable (Channel<Int>) -> String = { channel in
            select {
                Send(1, to: channel) { "sent" }
                Receive(channel) { $0 == nil ? "nil" : "value" }
            }
        }
        go { chosen <- choose(channels[0]) }
        startThread { chosen <- choose(channels[1]) }
        let task = Task {
            try await select {
                Send(1, to: channels[2]) { "sent" }
                Receive(channels[2]) { $0 == nil ? "nil" : "value" }
            }
        }
        go {
            for channel in channels {
                while channel.waitingReceivers == 0 { Goroutine.yield() }
                channel.close()
            }
        }
        for _ in 0..<2 { #expect(try await chosen.receive() == "nil") }
        #expect(try await task.value == "nil")
    }

    @Test func closeEndsAllSelectsInOneStep() {
        inGoroutine {
            let done = Channel<Never>(), work = Channel<Int>(), finished = WaitGroup(), late = SharedAtomic(0)
            for _ in 0..<2_000 {
                finished.go {
                    select {
                        // Nobody is left to take it: all that wait for it have been told that it is over.
                        Receive(done) { _ in if work.trySend(1) { late.add(1) } }
                        Receive(work) { _ in }
                    }
                }
            }
            while done.waitingReceivers < 2_000 { Goroutine.yield() }
            // Here, so that they run while it closes.
            startThread { done.close() }
            finished.wait()
            #expect(late.load() == 0)
        }
    }

    @Test func closeWakesParkedSelects() {
        inGoroutine {
            let channel = Channel<Int>()
            let other = Channel<Int>()
            let finished = WaitGroup()
            let woken = SharedAtomic(0)
            for _ in 0..<100 {
                finished.go {
                    select {
                        Receive(channel) { value in if value == nil { woken.add(1) } }
                        Receive(other) { _ in }
                    }
                }
            }
            settle()
            channel.close()
            finished.wait()
            #expect(woken.load() == 100)
            // All of them left the other channel's wait list too.
            #expect(!other.trySend(1))
        }
    }

    @Test func whatWasWrittenBeforeCloseIsSeenAfterTheEnd() {
        final class Cell: @unchecked Sendable { var value = 0 }
        inGoroutine {
            for n in 0..<200 {
                let cell = Cell()
                let channel = Channel<Never>()
                go {
                    cell.value = n
                    channel.close()
                }
                channel.receive()
                #expect(cell.value == n)
            }
        }
    }

    @Test func forInEndsWhenTheChannelIsClosedAndDrained() {
        inGoroutine {
            let channel = Channel<Int>(capacity: 4)
            go {
                for n in 0..<100 { channel <- n }
                channel.close()
            }
            var seen: [Int] = []
            for n in channel { seen.append(n) }
            #expect(seen == Array(0..<100))
        }
    }

    @Test func breakingOutOfForInLeavesTheRest() {
        onThread {
            let channel = Channel<Int>(capacity: 5)
            for n in 0..<5 { channel <- n }
            channel.close()
            for n in channel where n == 1 { break }
            #expect(channel.count == 3)
            #expect(Array(channel) == [2, 3, 4])
        }
    }

    @Test func forInOverTheReceivingHalfEndsToo() {
        inGoroutine {
            let channel = Channel<Int>()
            go {
                for n in 0..<10 { channel <- n }
                channel.close()
            }
            var sum = 0
            for n in channel.receiver { sum += n }
            #expect(sum == 45)
        }
    }

    @Test func aNeverChannelServesAsASignal() {
        inGoroutine {
            let quit = Channel<Never>()
            let finished = WaitGroup()
            for _ in 0..<50 { finished.go { quit.receive() } }
            quit.close()
            finished.wait()
            quit.receive()
        }
    }
}
