import CSP
import Testing

private struct Refused: Error, Equatable { let number: Int }

/// The rules of https://pkg.go.dev/golang.org/x/sync/errgroup, one by one.
@Suite struct ErrorGroupTests {
    @Test func waitsForAll() {
        inGoroutine {
            let group = ErrorGroup(), count = SharedAtomic(0)
            for _ in 0..<100 {
                group.go {
                    Goroutine.yield()
                    count.add(1)
                }
            }
            try group.wait()
            #expect(count.load() == 100)
        }
    }

    @Test func throwsTheFirstErrorOnceAllAreDone() {
        inGoroutine {
            let group = ErrorGroup(), gate = Channel<Never>(), count = SharedAtomic(0)
            group.go {
                defer { gate.close() }
                throw Refused(number: 1)
            }
            for n in 2..<10 {
                group.go {
                    gate.receive()
                    Time.sleep(for: .milliseconds(1))
                    count.add(1)
                    throw Refused(number: n)
                }
            }
            #expect(throws: Refused(number: 1)) { try group.wait() }
            #expect(count.load() == 8)
            // It stays.
            #expect(throws: Refused(number: 1)) { try group.wait() }
        }
    }

    @Test func theFirstErrorCancelsTheContext() {
        inGoroutine {
            let (group, context) = ErrorGroup.withContext()
            group.go {
                try Time.sleep(for: .seconds(3600), in: .current)
            }
            group.go {
                #expect(Context.current === context)
                throw Refused(number: 1)
            }
            #expect(throws: Refused(number: 1)) { try group.wait() }
            #expect(context.error == .canceled && context.cause as? Refused == Refused(number: 1))
        }
    }

    @Test func waitEndsTheContext() {
        inGoroutine {
            let (group, context) = ErrorGroup.withContext()
            group.go { try context.check() }
            try group.wait()
            #expect(context.error == .canceled && context.cause as? ContextError == .canceled)
        }
    }

    @Test func theParentsEndIsTheContexts() {
        inGoroutine {
            let (parent, cancel) = Context.background.withCancel()
            let (group, _) = ErrorGroup.withContext(parent)
            group.go { try Time.sleep(for: .seconds(3600), in: .current) }
            cancel(Refused(number: 3))
            #expect(throws: ContextError.canceled) { try group.wait() }
        }
    }

    @Test(arguments: [1, 3, 10])
    func noMoreThanTheLimitAtOnce(_ limit: Int) {
        inGoroutine {
            let group = ErrorGroup(limit: limit), busy = SharedAtomic(0), most = SharedAtomic(0)
            for _ in 0..<200 {
                group.go {
                    let now = busy.add(1)
                    var old = most.load()
                    while old < now, !most.compareExchange(expected: old, desired: now) { old = most.load() }
                    Goroutine.yield()
                    busy.add(-1)
                }
            }
            try group.wait()
            #expect(most.load() <= limit)
        }
    }

    @Test func tryGoFailsAtTheLimit() {
        inGoroutine {
            let group = ErrorGroup(limit: 1), gate = Channel<Never>()
            #expect(group.tryGo { gate.receive() })
            #expect(!group.tryGo {})
            gate.close()
            try group.wait()
            #expect(group.tryGo {})
            try group.wait()
            #expect(!ErrorGroup(limit: 0).tryGo {})
            #expect(ErrorGroup().tryGo {})
        }
    }

    @Test func goWaitsOnAThreadToo() {
        onThread {
            let group = ErrorGroup(limit: 2), count = SharedAtomic(0)
            for _ in 0..<20 {
                group.go("worker", stackSize: 1 << 16) {
                    Time.sleep(for: .microseconds(100))
                    count.add(1)
                }
            }
            #expect(throws: Never.self) { try group.wait() }
            #expect(count.load() == 20)
        }
    }
}

@Suite struct GoroutineScopeTests {
    @Test func returnsWhenAllAreDone() {
        inGoroutine {
            let count = SharedAtomic(0)
            let result = try withGoroutines { group in
                for _ in 0..<100 {
                    group.go {
                        Goroutine.yield()
                        count.add(1)
                    }
                }
                return "done"
            }
            #expect(result == "done" && count.load() == 100)
        }
    }

    @Test func theFirstErrorCancelsTheRest() {
        inGoroutine {
            let ended = SharedAtomic(0)
            #expect(throws: Refused(number: 1)) {
                try withGoroutines { group in
                    for _ in 0..<10 {
                        group.go {
                            defer { ended.add(1) }
                            try Time.sleep(for: .seconds(3600), in: .current)
                        }
                    }
                    group.go { throw Refused(number: 1) }
                    try Time.sleep(for: .seconds(3600), in: .current)
                }
            }
            #expect(ended.load() == 10)
        }
    }

    @Test func theBodysErrorCancelsToo() {
        inGoroutine {
            #expect(throws: Refused(number: 2)) {
                try withGoroutines { group in
                    group.go { try Time.sleep(for: .seconds(3600), in: .current) }
                    throw Refused(number: 2)
                }
            }
        }
    }

    @Test func mapKeepsTheOrder() {
        inGoroutine {
            let squares = try withGoroutines(limit: 7) { group in
                try group.map(0..<200) { n in
                    if n % 3 == 0 { Time.sleep(for: .microseconds(50)) }
                    return n * n
                }
            }
            #expect(squares == (0..<200).map { $0 * $0 })
        }
    }

    @Test func mapStartsNoMoreAfterAFailure() {
        inGoroutine {
            let started = SharedAtomic(0)
            #expect(throws: Refused(number: 5)) {
                try withGoroutines(limit: 1) { group in
                    _ = try group.map(0..<1000) { n in
                        started.add(1)
                        if n == 5 { throw Refused(number: n) }
                        return n
                    }
                }
            }
            #expect(started.load() <= 8)
        }
    }

    @Test func typedErrorsStayTyped() {
        inGoroutine {
            do throws(Refused) {
                try withGoroutines(throwing: Refused.self) { group throws(Refused) in
                    group.go { () throws(Refused) in throw Refused(number: 4) }
                }
                Issue.record("nothing was thrown")
            } catch {
                let refused: Refused = error
                #expect(refused.number == 4)
            }
            let doubled = withGoroutines(throwing: Never.self) { group in group.map([1, 2, 3]) { $0 * 2 } }
            #expect(doubled == [2, 4, 6])
        }
    }

    @Test func workersShareAChannel() {
        inGoroutine {
            let sum = SharedAtomic(0), busy = SharedAtomic(0)
            try withGoroutines { group in
                let jobs = Channel<Int>(capacity: 4)
                group.work(on: jobs.receiver, workers: 5) { job in
                    #expect(busy.add(1) <= 5)
                    Goroutine.yield()
                    sum.add(job)
                    busy.add(-1)
                }
                for job in 0..<1000 { try jobs.send(job, in: group.context) }
                jobs.close()
            }
            #expect(sum.load() == 999 * 1000 / 2)
        }
    }

    @Test func aWorkersErrorEndsThePool() {
        inGoroutine {
            #expect(throws: Refused(number: 10)) {
                try withGoroutines { group in
                    let jobs = Channel<Int>()
                    group.work(on: jobs.receiver, workers: 3) { job in
                        if job == 10 { throw Refused(number: job) }
                    }
                    for job in 0... { try jobs.send(job, in: group.context) }
                }
            }
        }
    }

    @Test func worksOnAThread() {
        onThread {
            let results = withGoroutines(throwing: Never.self, limit: 3) { group in
                #expect(group.context.error == nil)
                return group.map(0..<50) { Context.current.error == nil ? $0 : -1 }
            }
            #expect(results == Array(0..<50))
        }
    }

    @Test func resultsNeedNotBeSendable() {
        inGoroutine {
            final class Box { var value: Int; init(_ value: Int) { self.value = value } }
            let boxes = withGoroutines(throwing: Never.self) { group in group.map(0..<10) { Box($0) } }
            for box in boxes { box.value += 1 }
            #expect(boxes.map(\.value) == Array(1...10))
        }
    }
}
