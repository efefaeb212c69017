import CSP
import Testing

/// Contexts and groups, from goroutines and plain threads at once. Serial: see `stress`.
@Suite(.serialized) struct ContextStressTests {
    /// Trees that grow while they are cancelled, time out and are dropped. Each function runs once or was stopped, and nothing of a tree stays behind.
    @Test func trees() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let functions = SharedAtomic(0), ran = SharedAtomic(0), stopped = SharedAtomic(0), kept = SharedAtomic(0)
            do {
                let (root, cancelRoot) = Context.background.withCancel()
                everywhere(goroutines: 12, threads: 4, &random) { random in
                    var contexts = [root], cancels: [CancelFunction] = [], stops: [@Sendable () -> Bool] = []
                    for _ in 0..<60 {
                        let parent = contexts[Int(random.next() % UInt64(contexts.count))]
                        switch random.next() % 10 {
                        case 0, 1:
                            let (child, cancel) = parent.withCancel()
                            contexts.append(child)
                            cancels.append(cancel)
                        case 2:
                            let (child, cancel) = parent.withTimeout(.microseconds(Int64(random.next() % 300)))
                            contexts.append(child)
                            cancels.append(cancel)
                        case 3: contexts.append(parent.withValue(Holder.self, Holding(kept)))
                        case 4:
                            functions.add(1)
                            let holding = Holding(kept)
                            stops.append(
                                parent.afterDone {
                                    withExtendedLifetime(holding) {}
                                    ran.add(1)
                                })
                        case 5 where !stops.isEmpty:
                            let stop = stops.remove(at: Int(random.next() % UInt64(stops.count)))
                            if stop() {
                                stopped.add(1)
                                #expect(!stop())
                            }
                        case 6 where !cancels.isEmpty:
                            cancels.remove(at: Int(random.next() % UInt64(cancels.count)))()
                        case 7 where contexts.count > 1:
                            contexts.remove(at: 1 + Int(random.next() % UInt64(contexts.count - 1)))
                        case 8:
                            // What is begun below one that is done is done, and for a reason.
                            let isDone = parent.error != nil
                            let child = parent.withValue(Holder.self, Holding(kept)).withCancel().context
                            if isDone {
                                #expect(child.error != nil && child.cause != nil)
                                #expect(Attempt(child.done.tryReceive()) == .closed)
                            }
                        case 9 where random.next() % 64 == 0: cancelRoot(Stopped())
                        default: maybeYield(&random)
                        }
                    }
                }
                cancelRoot(Stopped())
                #expect(root.error == .canceled && root.cause is Stopped)
            }
            while ran.load() + stopped.load() < functions.load() || kept.load() > 0 {
                Time.sleep(for: .milliseconds(1))
            }
            #expect(ran.load() + stopped.load() == functions.load())
        }
    }

    /// Parents are cancelled while their last children are being dropped: the one must not find the other half gone.
    @Test func droppedWhileTheParentIsCancelled() {
        stress(rounds: 6, stressedRounds: 40) { random in
            for _ in 0..<40 {
                let (parent, cancel) = Context.background.withCancel()
                let seen = SharedAtomic(0)
                everywhere(goroutines: 5, threads: 2, &random) { index, random in
                    if index == 0 {
                        maybeYield(&random)
                        return cancel()
                    }
                    for _ in 0..<8 {
                        // A chain, of which only the lowest is kept.
                        var chain = parent
                        for _ in 0..<(random.next() % 4 + 1) { chain = chain.withCancel().context }
                        if random.next() % 2 == 0 { chain = chain.withTimeout(.seconds(100)).context }
                        maybeYield(&random)
                        if chain.error != nil { seen.add(1) }
                    }
                }
                #expect(parent.error == .canceled)
            }
        }
    }

    /// Waits of each kind that a context ends at any moment: what was not received is still there.
    @Test func waits() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let channel = Channel<Int>(capacity: 2), sent = SharedAtomic(0), received = SharedAtomic(0)
            let slots = Semaphore(2), used = SharedAtomic(0)
            everywhere(goroutines: 12, threads: 4, &random) { random in
                for _ in 0..<50 {
                    let (context, cancel) = Context.background.withTimeout(.microseconds(Int64(random.next() % 200)))
                    if random.next() % 2 == 0 { go { cancel() } }
                    switch random.next() % 4 {
                    case 0: if (try? channel.send(1, in: context)) != nil { sent.add(1) }
                    case 1: if (try? channel.receive(in: context)) != nil { received.add(1) }
                    case 2:
                        if (try? slots.acquire(in: context)) != nil {
                            #expect(used.add(1) <= 2)
                            maybeYield(&random)
                            used.add(-1)
                            slots.release()
                        }
                    default: try? Time.sleep(for: .microseconds(Int64(random.next() % 100)), in: context)
                    }
                    cancel()
                }
            }
            #expect(sent.load() == received.load() + channel.count)
            #expect(slots.tryAcquire(2))
        }
    }

    /// A function is added, stopped, or started by the context's end, all in one moment.
    @Test func functions() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let ran = SharedAtomic(0), stopped = SharedAtomic(0)
            everywhere(goroutines: 6, threads: 3, &random) { random in
                for _ in 0..<200 {
                    let (context, cancel) = Context.background.withCancel()
                    go { cancel() }
                    maybeYield(&random)
                    let stop = context.afterDone { ran.add(1) }
                    if random.next() % 2 == 0 { maybeYield(&random) }
                    if stop() { stopped.add(1) }
                    cancel()
                }
            }
            while ran.load() + stopped.load() < 9 * 200 { Goroutine.yield() }
            #expect(ran.load() + stopped.load() == 9 * 200)
        }
    }

    @Test func groups() {
        stress(rounds: 6, stressedRounds: 40) { random in
            let all = SharedAtomic(0)
            everywhere(goroutines: 6, threads: 3, &random) { random in
                for _ in 0..<8 {
                    let limit = Int(random.next() % 4) + 1, count = Int(random.next() % 30)
                    let failing = random.next() % 2 == 0 ? Int(random.next() % 30) : -1
                    let inside = SharedAtomic(0), ran = SharedAtomic(0), refused = SharedAtomic(0)
                    let (group, context) = ErrorGroup.withContext(limit: limit)
                    let tries = random.next() % 4 == 0
                    for n in 0..<count {
                        let yields = random.next() % 4 == 0
                        let body: @Sendable () throws -> Void = {
                            #expect(inside.add(1) <= limit)
                            if yields { Goroutine.yield() }
                            ran.add(1)
                            inside.add(-1)
                            if n == failing { throw Stopped() }
                        }
                        if tries {
                            if !group.tryGo(body) { refused.add(1) }
                        } else {
                            group.go(body)
                        }
                    }
                    let failed = (try? group.wait()) == nil
                    #expect(!failed || context.cause is Stopped)
                    #expect(context.error == .canceled)
                    #expect(ran.load() + refused.load() == count && inside.load() == 0)
                    if failing < count, failing >= 0, !tries { #expect(failed) }
                    all.add(1)
                }
            }
            #expect(all.load() == 72)
        }
    }

    @Test func scopes() {
        stress(rounds: 6, stressedRounds: 40) { random in
            everywhere(goroutines: 6, threads: 3, &random) { random in
                for _ in 0..<4 {
                    let count = Int(random.next() % 20) + 1, failing = random.next() % 3 == 0
                    let running = SharedAtomic(0)
                    let result = Result {
                        try withGoroutines(limit: 3) { group in
                            let jobs = Channel<Int>(), handled = SharedAtomic(0)
                            group.work(on: jobs.receiver, workers: 2) { _ in handled.add(1) }
                            return try group.map(0..<count) { n -> Int in
                                running.add(1)
                                defer { running.add(-1) }
                                if failing, n == count / 2 { throw Stopped() }
                                try jobs.send(n, in: .current)
                                if n == count - 1 { jobs.close() }
                                return n * n
                            }
                        }
                    }
                    // None outlives the scope.
                    #expect(running.load() == 0)
                    if case .success(let squares) = result { #expect(squares == (0..<count).map { $0 * $0 }) }
                }
            }
        }
    }
}

private struct Stopped: Error {}

private enum Holder: ContextKey { typealias Value = Holding }

/// Counts those that are alive.
private final class Holding: Sendable {
    private let count: SharedAtomic<Int>
    init(_ count: SharedAtomic<Int>) {
        self.count = count
        count.add(1)
    }
    deinit { count.add(-1) }
}

private enum Attempt: Equatable {
    case value, empty, closed
    init(_ attempt: ReceiveAttempt<Never>) {
        switch attempt {
        case .empty: self = .empty
        case .closed: self = .closed
        }
    }
}
