import CSP
import Testing

private struct Reason: Error, Equatable {}

/// Waits that a context ends.
@Suite struct ContextWaitTests {
    @Test func canceledEndsASelect() {
        inGoroutine {
            let (context, cancel) = Context.background.withCancel()
            let numbers = Channel<Int>()
            go {
                settle()
                cancel(Reason())
            }
            #expect(throws: ContextError.canceled) {
                try select {
                    Receive(numbers) { $0! }
                    Canceled(context)
                }
            }
            #expect(context.cause as? Reason == Reason())
        }
    }

    @Test func canceledWakesGoroutinesAndThreads() {
        let (context, cancel) = Context.background.withTimeout(.seconds(3600))
        let ended = SharedAtomic(0), all = WaitGroup()
        all.add(20)
        for n in 0..<20 {
            let wait: @Sendable () -> Void = {
                do { try select { Canceled(context) } } catch { if context.error == .canceled { ended.add(1) } }
                all.done()
            }
            if n % 2 == 0 { go { wait() } } else { startThread(wait) }
        }
        settle()
        cancel()
        all.wait()
        #expect(ended.load() == 20)
    }

    @Test func canceledStandsBesideAnyOutput() {
        inGoroutine {
            let numbers = Channel<Int>(capacity: 8), words = Channel<String>(capacity: 8)
            for n in 0..<8 { numbers <- n }
            words <- "a"
            let never = Context.background
            var seen: Set<Int> = []
            let first: Int = try select {
                Canceled(never)
                Receive(numbers) { $0! }
            }
            let second: Int = try select {
                Receive(numbers) { $0! }
                Canceled(never)
                Receive(nil as Channel<Int>?) { $0! }
            }
            try select {
                Receive(numbers) { seen.insert($0!) }
                Canceled(never)
                Receive(words) { _ in }
            }
            try select {
                Canceled(never)
                Canceled(.todo)
                Receive(numbers) { _ in }
            }
            let isEmpty: Bool = try select {
                Canceled(never)
                Default { true }
            }
            #expect(first == 0 && second == 1 && isEmpty)
        }
    }

    @Test func aDoneContextIsChosenAsOftenAsAReadyChannel() {
        inGoroutine {
            let (context, cancel) = Context.background.withCancel()
            cancel()
            let numbers = Channel<Int>(capacity: 1)
            numbers <- 0
            var received = 0
            for _ in 0..<1000 {
                let isReceived = try? select {
                    Receive(numbers) { _ in true }
                    Canceled(context)
                }
                if isReceived == true {
                    received += 1
                    numbers <- 0
                }
            }
            // 20 standard deviations.
            #expect((200..<800).contains(received))
        }
    }

    @Test func sleepEndsWithTheContext() {
        inGoroutine {
            let (context, cancel) = Context.background.withTimeout(.milliseconds(5))
            defer { cancel() }
            #expect(throws: ContextError.deadlineExceeded) { try Time.sleep(for: .seconds(3600), in: context) }
            #expect(throws: ContextError.deadlineExceeded) { try Time.sleep(for: .zero, in: context) }
            #expect(throws: ContextError.deadlineExceeded) {
                try Time.sleep(until: .now + .seconds(3600), in: context)
            }
            try Time.sleep(for: .milliseconds(1), in: .background)
            try Time.sleep(for: .zero, in: .background)
        }
        onThread {
            #expect(throws: ContextError.deadlineExceeded) {
                try Time.sleep(for: .seconds(3600), in: Context.background.withTimeout(.milliseconds(5)).context)
            }
        }
    }

    @Test func sendAndReceiveEndWithTheContext() {
        inGoroutine {
            let ledger = Ledger(2)
            let channel = Channel<Token>(capacity: 1)
            try channel.send(ledger.token(0), in: .background)
            let (context, cancel) = Context.background.withCancel()
            go {
                settle()
                cancel()
            }
            #expect(throws: ContextError.canceled) { try channel.sender.send(ledger.token(1), in: context) }
            #expect(ledger.counts == [0, 1])
            // Done already: the value stays.
            #expect(throws: ContextError.canceled) { _ = try channel.receiver.receive(in: context) }
            if let first = try channel.receive(in: .background) { #expect(first.id == 0) }
            let (late, cancelLate) = Context.background.withTimeout(.milliseconds(5))
            defer { cancelLate() }
            #expect(throws: ContextError.deadlineExceeded) { _ = try channel.receive(in: late) }
            channel.close()
            if let more = try channel.receive(in: .background) { Issue.record("received \(more.id)") }
        }
    }

    @Test func acquiringEndsWithTheContext() {
        inGoroutine {
            let slots = Semaphore(1)
            #expect(throws: Never.self) { try slots.acquire(in: .background) }
            let (context, cancel) = Context.background.withTimeout(.milliseconds(5))
            #expect(throws: ContextError.deadlineExceeded) { try slots.acquire(in: context) }
            // Nothing was taken, and a context that is done comes before a semaphore that is free.
            slots.release()
            #expect(throws: ContextError.deadlineExceeded) { try slots.acquire(in: context) }
            #expect(slots.tryAcquire())
            cancel()
        }
    }

    @Test func waitingForAConditionEndsWithTheContext() {
        inGoroutine {
            let value = CSP.Mutex(0), changed = Condition(value)
            let (context, cancel) = Context.background.withCancel()
            go {
                settle()
                cancel()
            }
            #expect(throws: ContextError.canceled) { try changed.wait(in: context, until: { $0 > 0 }) { $0 += 1 } }
            // The lock is free, and the body has not run.
            value.withLock { $0 += 5 }
            changed.broadcast()
            let seen = try? changed.wait(in: .background, until: { $0 == 5 }, then: { $0 })
            #expect(seen == 5)
        }
    }
}
