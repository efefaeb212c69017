import CSP
import Testing

/// Who may wait: goroutines and plain threads, on the same channel, in one line.
@Suite struct ChannelWaiterTests {
    @Test(arguments: [0, 2])
    func threadsTalkToGoroutines(capacity: Int) {
        let requests = Channel<Int>(capacity: capacity)
        let replies = Channel<Int>(capacity: capacity)
        go {
            for request in requests { replies <- request + 1 }
            replies.close()
        }
        onThread {
            for n in 0..<500 {
                requests <- n
                #expect(replies.receive() == n + 1)
            }
            requests.close()
            #expect(replies.receive() == nil)
        }
    }

    @Test func threadsTalkToThreads() {
        let requests = Channel<Int>()
        let replies = Channel<Int>()
        startThread {
            for request in requests { replies <- request + 1 }
            replies.close()
        }
        onThread {
            for n in 0..<200 {
                requests <- n
                #expect(replies.receive() == n + 1)
            }
            requests.close()
            #expect(replies.receive() == nil)
        }
    }

    @Test(arguments: [0, 5])
    func threadsAndGoroutinesShareAChannel(capacity: Int) {
        let perSender = 200
        let senders = 8
        let channel = Channel<Int>(capacity: capacity)
        let sending = WaitGroup()
        let receiving = WaitGroup()
        let counts = (0..<senders * perSender).map { _ in SharedAtomic(0) }
        sending.add(senders)
        receiving.add(8)
        for sender in 0..<senders {
            let send: @Sendable () -> Void = {
                for n in 0..<perSender { channel <- sender * perSender + n }
                sending.done()
            }
            if sender % 2 == 0 { startThread(send) } else { go(nil, send) }
        }
        for receiver in 0..<8 {
            let receive: @Sendable () -> Void = {
                for n in channel { counts[n].add(1) }
                receiving.done()
            }
            if receiver % 2 == 0 { startThread(receive) } else { go(nil, receive) }
        }
        inGoroutine {
            sending.wait()
            channel.close()
            receiving.wait()
            #expect(counts.allSatisfy { $0.load() == 1 })
        }
    }

    /// Waiters arrive 20 ms apart, every second a thread, and are served in that order.
    @Test(arguments: [0, 1])
    func parkedSendersAreServedInOrder(capacity: Int) {
        inGoroutine {
            let channel = Channel<Int>(capacity: capacity)
            for n in 0..<capacity { channel <- -1 - n }
            for n in 0..<6 {
                if n % 2 == 0 { go { channel <- n } } else { startThread { channel <- n } }
                #expect(eventually { channel.waitingSenders == n + 1 })
            }
            for n in 0..<capacity { #expect((<-channel) == -1 - n) }
            for n in 0..<6 { #expect((<-channel) == n) }
        }
    }

    @Test func parkedReceiversAreServedInOrder() {
        inGoroutine {
            let channel = Channel<Int>()
            let served = Channel<(waiter: Int, value: Int)>(capacity: 6)
            for waiter in 0..<6 {
                if waiter % 2 == 0 {
                    go { served.send((waiter, channel.receive()!)) }
                } else {
                    startThread { served.send((waiter, channel.receive()!)) }
                }
                #expect(eventually { channel.waitingReceivers == waiter + 1 })
            }
            for value in 0..<6 { channel <- value }
            for _ in 0..<6 {
                let (waiter, value) = served.receive()!
                #expect(waiter == value)
            }
        }
    }

    @Test func aSelectWaitsInTheSameLine() {
        inGoroutine {
            let channel = Channel<Int>()
            let never = Channel<Int>()
            let served = Channel<(waiter: Int, value: Int)>(capacity: 6)
            for waiter in 0..<6 {
                let wait: @Sendable () -> Void = {
                    if waiter % 3 == 0 {
                        served.send((waiter, channel.receive()!))
                    } else {
                        let value: Int = select {
                            Receive(never) { $0! }
                            Receive(channel) { $0! }
                        }
                        served.send((waiter, value))
                    }
                }
                if waiter % 2 == 0 { go(nil, wait) } else { startThread(wait) }
                #expect(eventually { channel.waitingReceivers == waiter + 1 })
            }
            for value in 0..<6 { channel <- value }
            for _ in 0..<6 {
                let (waiter, value) = served.receive()!
                #expect(waiter == value)
            }
        }
    }
}
