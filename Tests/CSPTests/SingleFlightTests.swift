import CSP
import Testing

@Suite struct SingleFlightTests {
    private struct Refused: Error {}

    @Test func aloneItIsNotShared() throws {
        let flights = SingleFlight<String, Int>()
        let (value, shared) = try flights.run("a") { 7 }
        #expect(value == 7 && !shared)
        #expect(throws: Refused.self) { try flights.run("a") { throw Refused() } }
        #expect(try flights.run("a") { 8 }.value == 8)
    }

    @Test func whoComesMeanwhileGetsTheSame() {
        inGoroutine {
            let flights = SingleFlight<String, Int>(), runs = SharedAtomic(0), shared = SharedAtomic(0)
            let isRunning = Channel<Void>(), gate = Channel<Void>()
            let all = WaitGroup()
            all.go {
                let outcome = try! flights.run("a") {
                    runs.add(1)
                    isRunning <- ()
                    <-gate
                    return 7
                }
                #expect(outcome.value == 7)
                if outcome.shared { shared.add(1) }
            }
            <-isRunning
            let outcomes = (0..<10).map { _ in flights.start("a") { 8 } }
            for n in 0..<20 {
                let call: @Sendable () -> Void = {
                    let outcome = try! flights.run("a") {
                        runs.add(1)
                        return 9
                    }
                    // One that comes too late may run its own.
                    #expect(outcome.value == 7 || runs.load() > 1)
                    all.done()
                }
                all.add()
                if n % 4 == 0 { startThread(call) } else { go { call() } }
            }
            settle()
            // Another key does not wait.
            #expect(try! flights.run("b") { 10 } == (10, false))
            gate.close()
            all.wait()
            #expect(shared.load() == 1)
            for outcome in outcomes {
                let outcome = outcome.receive()!
                #expect(try! outcome.result.get() == 7 && outcome.shared)
            }
        }
    }

    @Test func anErrorIsSharedToo() {
        inGoroutine {
            let flights = SingleFlight<Int, Int>(), gate = Channel<Void>(), isRunning = Channel<Void>()
            let failed = SharedAtomic(0), all = WaitGroup()
            all.go {
                do {
                    _ = try flights.run(1) {
                        isRunning <- ()
                        <-gate
                        throw Refused()
                    }
                } catch is Refused { failed.add(1) } catch {}
            }
            <-isRunning
            let second = flights.start(1) { 5 }
            gate <- ()
            all.wait()
            #expect(failed.load() == 1)
            let outcome = second.receive()!
            #expect(outcome.shared)
            #expect(throws: Refused.self) { try outcome.result.get() }
        }
    }

    @Test func whatIsForgottenRunsAgain() {
        inGoroutine {
            let flights = SingleFlight<Int, Int>(), gate = Channel<Void>(), isRunning = Channel<Void>()
            let first = flights.start(1) {
                isRunning <- ()
                <-gate
                return 1
            }
            <-isRunning
            let alsoFirst = flights.start(1) { 100 }
            flights.forget(1)
            let second = flights.start(1) {
                isRunning <- ()
                <-gate
                return 2
            }
            <-isRunning
            // The first one's end does not end the second one.
            gate <- ()
            let ended = select {
                Receive(first) { $0! }
                Receive(second) { $0! }
            }
            let third = flights.start(1) { 3 }
            gate <- ()
            if try! ended.result.get() == 1 {
                #expect(ended.shared)
                #expect(try! alsoFirst.receive()!.result.get() == 1)
                #expect(try! second.receive()!.result.get() == 2)
                #expect(try! third.receive()!.result.get() == 2)
            } else {
                // The gate let the second one through; a later call runs again.
                #expect(try! third.receive()!.result.get() == 3)
                #expect(try! first.receive()!.result.get() == 1)
                #expect(try! alsoFirst.receive()!.result.get() == 1)
            }
        }
    }

    @Test func whoGivesUpLeavesItToTheOthers() {
        inGoroutine {
            let flights = SingleFlight<Int, Int>(), gate = Channel<Void>(), isRunning = Channel<Void>()
            let (context, cancel) = Context.background.withCancel()
            let gaveUp = SharedAtomic(0), all = WaitGroup()
            all.go {
                do {
                    _ = try flights.run(1, in: context) {
                        isRunning <- ()
                        <-gate
                        return 7
                    }
                } catch ContextError.canceled { gaveUp.add(1) } catch {}
            }
            <-isRunning
            let other = flights.start(1) { 8 }
            cancel()
            all.wait()
            #expect(gaveUp.load() == 1)
            // Whoever has given up before does not begin.
            #expect(throws: ContextError.canceled) {
                try flights.run(2, in: context) {
                    Issue.record("ran although the context was done")
                    return 0
                }
            }
            gate <- ()
            #expect(try! other.receive()!.result.get() == 7)
        }
    }
}
