import CSP
import Testing

@Suite struct GoroutineTests {
    @Test func goFromAGoroutineRunsTheBody() {
        inGoroutine {
            let answer = Channel<Int>()
            go { answer <- 42 }
            #expect((<-answer) == 42)
        }
    }

    @Test func goFromAPlainThreadRunsTheBody() {
        onThread {
            #expect(Goroutine.current == nil)
            let answer = Channel<Bool>()
            go { answer <- (Goroutine.current != nil) }
            #expect((<-answer) == true)
        }
    }

    @Test func goFromASwiftTaskRunsTheBody() async {
        let ranInAGoroutine = await withCheckedContinuation { continuation in
            go { continuation.resume(returning: Goroutine.current != nil) }
        }
        #expect(ranInAGoroutine)
    }

    @Test func goReturnsBeforeTheBodyEnds() {
        inGoroutine {
            let returned = SharedAtomic(0)
            let gate = Channel<Void>()
            let seen = Channel<Int>()
            go {
                gate.receive()
                seen <- returned.load()
            }
            returned.store(1)
            gate.send(())
            #expect((<-seen) == 1)
        }
    }

    @Test func nameIsSeenInside() {
        inGoroutine {
            let names = Channel<String?>()
            go("a name") { names <- Goroutine.current?.name }
            #expect(names.receive() == .some("a name"))
            go { names <- Goroutine.current?.name }
            #expect(names.receive() == .some(nil))
        }
    }

    @Test func idsAreDistinct() {
        inGoroutine {
            let count = 1_000
            let ids = Channel<UInt64>(capacity: 10)
            for _ in 0..<count { go { ids <- Goroutine.current!.id } }
            var seen = Set<UInt64>()
            for _ in 0..<count { seen.insert(ids.receive()!) }
            #expect(seen.count == count)
        }
    }

    @Test func idStaysTheSameAcrossParks() {
        inGoroutine {
            let turns = Channel<Int>()
            let differing = SharedAtomic(0)
            let finished = WaitGroup()
            for _ in 0..<50 {
                finished.go {
                    let id = Goroutine.current!.id
                    while turns.receive() != nil {
                        Goroutine.yield()
                        if Goroutine.current!.id != id { differing.add(1) }
                    }
                }
            }
            for turn in 0..<1_000 { turns <- turn }
            turns.close()
            finished.wait()
            #expect(differing.load() == 0)
        }
    }

    @Test func currentIsNilOnAPlainThread() {
        onThread {
            #expect(Goroutine.current == nil)
            // Nor does blocking on a goroutine's channel make it one.
            let answer = Channel<Int>()
            go { answer <- 1 }
            answer.receive()
            #expect(Goroutine.current == nil)
        }
    }

    @Test func currentIsNilInASwiftTask() async {
        #expect(Goroutine.current == nil)
        await Task.yield()
        #expect(Goroutine.current == nil)
    }

    @Test func countCoversParkedGoroutines() {
        inGoroutine {
            let count = 500
            let started = WaitGroup()
            let finished = WaitGroup()
            let gate = Channel<Never>()
            started.add(count)
            for _ in 0..<count {
                finished.go {
                    started.done()
                    gate.receive()
                }
            }
            started.wait()
            // Other tests run beside this one, so no upper bound here; a child process looks at the exact figure.
            #expect(Goroutine.count > count)
            gate.close()
            finished.wait()
        }
    }

    @Test func bodyAndItsCapturesAreReleasedAfterReturn() {
        let count = 1_000
        let ledger = Ledger(count)
        inGoroutine {
            let finished = WaitGroup()
            for id in 0..<count {
                let captured = TokenObject(id, ledger)
                finished.go { _ = captured.id }
            }
            finished.wait()
            #expect(eventually { ledger.total == count })
            #expect(ledger.allReleasedOnce)
        }
    }

    @Test func yieldOutsideAGoroutineIsHarmless() async {
        Goroutine.yield()
        onThread { Goroutine.yield() }
    }

    @Test func thousandsRunToTheirEnd() {
        inGoroutine {
            let sum = SharedAtomic(0)
            let finished = WaitGroup()
            for n in 1...20_000 { finished.go { sum.add(n) } }
            finished.wait()
            #expect(sum.load() == 20_000 * 20_001 / 2)
        }
    }

    @Test func aGoroutineOutlivesItsCreator() {
        inGoroutine {
            let answer = Channel<Int>()
            let gate = Channel<Void>()
            go {
                go {
                    gate.receive()
                    answer <- 3
                }
            }
            settle()
            gate.send(())
            #expect((<-answer) == 3)
        }
    }

    @Test func goroutinesStartGoroutinesManyLevelsDown() {
        inGoroutine {
            let leaves = SharedAtomic(0)
            let finished = WaitGroup()
            @Sendable func grow(_ levels: Int) {
                if levels == 0 {
                    leaves.add(1)
                    return
                }
                for _ in 0..<2 { finished.go { grow(levels - 1) } }
            }
            grow(10)
            finished.wait()
            #expect(leaves.load() == 1_024)
        }
    }
}
