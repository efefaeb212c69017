import CSP
import Testing

/// What a goroutine sees of the Swift task that started it: its task-locals, and nothing else.
@Suite struct SwiftTaskStateTests {
    enum Local {
        @TaskLocal static var mark = 0
    }

    @Test func goSeesTheTaskLocalsOfTheTaskThatStartedIt() async {
        let seen = await Local.$mark.withValue(7) {
            await withCheckedContinuation { continuation in
                go { continuation.resume(returning: Local.mark) }
            }
        }
        #expect(seen == 7)
    }

    @Test func goSeesTheTaskLocalsOfTheGoroutineThatStartedIt() {
        inGoroutine {
            let seen = Channel<Int>()
            Local.$mark.withValue(8) {
                go { seen <- Local.mark }
            }
            #expect((<-seen) == 8)
            go { seen <- Local.mark }
            #expect((<-seen) == 0)
        }
    }

    @Test func goSeesTheTaskLocalsOfTheThreadThatStartedIt() {
        onThread {
            let seen = Channel<Int>()
            Local.$mark.withValue(9) {
                go { seen <- Local.mark }
            }
            #expect((<-seen) == 9)
        }
    }

    @Test func inheritedTaskLocalsOutliveTheirScope() {
        inGoroutine {
            let gate = Channel<Void>()
            let seen = Channel<Int>()
            Local.$mark.withValue(10) {
                go {
                    gate.receive()
                    seen <- Local.mark
                }
            }
            gate.send(())
            #expect((<-seen) == 10)
        }
    }

    @Test func aValueBoundAroundAParkStaysInItsGoroutine() {
        inGoroutine {
            let gate = Channel<Void>()
            let finished = WaitGroup()
            let wrong = SharedAtomic(0)
            for n in 1...100 {
                finished.go {
                    Local.$mark.withValue(n) {
                        gate.receive()
                        if Local.mark != n { wrong.add(1) }
                        Local.$mark.withValue(-n) {
                            gate.receive()
                            if Local.mark != -n { wrong.add(1) }
                        }
                        if Local.mark != n { wrong.add(1) }
                    }
                    if Local.mark != 0 { wrong.add(1) }
                }
            }
            for _ in 0..<200 {
                gate.send(())
                if Local.mark != 0 { wrong.add(1) }
            }
            finished.wait()
            #expect(wrong.load() == 0)
        }
    }
}
