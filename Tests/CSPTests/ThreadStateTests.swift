import CSP
import Testing

/// Swift keeps open accesses and task-locals per thread; here thousands of goroutines carry theirs from thread to thread.
@Suite struct ThreadStateTests {
    struct Counter {
        var value = 0
        mutating func addTwice(_ meanwhile: () -> Void) {
            value += 1
            meanwhile()
            value += 1
        }
    }
    final class Owner {
        var counter = Counter()
    }
    enum Local {
        @TaskLocal static var number = -1
    }

    @Test func goroutinesParkWithinMutatingMethods() {
        inGoroutine {
            let gate = Channel<Never>(), turns = Channel<Int>(capacity: 64)
            let finished = WaitGroup(), sum = SharedAtomic(0)
            for n in 0..<5_000 {
                finished.go {
                    let owner = Owner()
                    owner.counter.addTwice {
                        turns <- n
                        gate.receive()
                        Goroutine.yield()
                    }
                    // A leftover access of another goroutine would trap here, as would one of ours that was lost.
                    owner.counter.addTwice { Goroutine.yield() }
                    sum.add(owner.counter.value)
                }
            }
            for _ in 0..<5_000 { turns.receive() }
            gate.close()
            finished.wait()
            #expect(sum.load() == 20_000)
        }
    }

    @Test func goroutinesParkWithinTaskLocals() {
        inGoroutine {
            let gate = Channel<Never>(), turns = Channel<Int>(capacity: 64)
            let finished = WaitGroup(), wrong = SharedAtomic(0)
            for n in 0..<5_000 {
                finished.go {
                    Local.$number.withValue(n) {
                        turns <- n
                        gate.receive()
                        if Local.number != n { wrong.add(1) }
                        Local.$number.withValue(-n) {
                            Goroutine.yield()
                            if Local.number != -n { wrong.add(1) }
                        }
                        if Local.number != n { wrong.add(1) }
                    }
                    if Local.number != -1 { wrong.add(1) }
                }
            }
            for _ in 0..<5_000 { turns.receive() }
            gate.close()
            finished.wait()
            #expect(wrong.load() == 0)
        }
    }
}
