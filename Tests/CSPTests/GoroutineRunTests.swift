import CSP
import Testing

@Suite struct GoroutineRunTests {
    struct Refused: Error, Equatable { let code: Int }
    final class Notebook { var pages: [String] = [] }

    @Test func runReturnsTheBodysResultToAThread() {
        onThread {
            #expect(Goroutine.run { Goroutine.current != nil })
            #expect(Goroutine.run { "text" } == "text")
        }
    }

    @Test func runReturnsTheBodysResultToAGoroutine() {
        inGoroutine {
            let outer = Goroutine.current!.id
            let inner = Goroutine.run { Goroutine.current!.id }
            #expect(inner != outer)
            #expect(Goroutine.current!.id == outer)
        }
    }

    @Test func runNests() {
        inGoroutine {
            func depth(_ levels: Int) -> Int {
                levels == 0 ? 0 : Goroutine.run { depth(levels - 1) } + 1
            }
            #expect(depth(20) == 20)
        }
    }

    @Test func runThrowsTheBodysTypedError() {
        inGoroutine {
            do throws(Refused) {
                try Goroutine.run { () throws(Refused) -> Void in throw Refused(code: 7) }
                Issue.record("nothing was thrown")
            } catch {
                let refused: Refused = error
                #expect(refused == Refused(code: 7))
            }
        }
    }

    @Test func runThrowsAnyError() {
        inGoroutine {
            #expect(throws: Refused(code: 8)) {
                try Goroutine.run { if Goroutine.current != nil { throw Refused(code: 8) } }
            }
        }
    }

    @Test func runWithoutErrorNeedsNoTry() {
        inGoroutine {
            let void: Void = Goroutine.run {}
            #expect(void == ())
        }
    }

    @Test func theResultIsSentAndOursAlone() {
        inGoroutine {
            let notebook = Goroutine.run {
                let notebook = Notebook()
                notebook.pages.append("one")
                return notebook
            }
            notebook.pages.append("two")
            let pages = Channel<[String]>()
            go {
                notebook.pages.append("three")
                pages <- notebook.pages
            }
            #expect((<-pages) == ["one", "two", "three"])
        }
    }

    @Test func largeResultsArriveWhole() {
        inGoroutine {
            let result = Goroutine.run { InlineArray<512, Int> { $0 * 3 } }
            var equal = true
            for index in result.indices where result[index] != index * 3 { equal = false }
            #expect(equal)
        }
    }

    @Test func runTakesANameAndAStackSize() {
        inGoroutine {
            #expect(Goroutine.run("named", stackSize: 1 << 20) { Goroutine.current?.name } == "named")
        }
    }

    @Test func runWaitsForABodyThatParks() {
        onThread {
            let gate = Channel<Int>()
            go {
                settle()
                gate <- 5
            }
            #expect(Goroutine.run { gate.receive() } == 5)
        }
    }

    @Test func manyThreadsRunAtOnce() {
        let count = 16
        let results = Channel<Int>(capacity: count)
        for n in 0..<count {
            startThread { results <- Goroutine.run { n * n } }
        }
        inGoroutine {
            var sum = 0
            for _ in 0..<count { sum += results.receive()! }
            #expect(sum == (0..<count).reduce(0) { $0 + $1 * $1 })
        }
    }

    @Test func resultsAreReleasedOnce() {
        let ledger = Ledger(500)
        inGoroutine {
            for id in 0..<500 {
                let object = Goroutine.run { TokenObject(id, ledger) }
                #expect(object.id == id)
            }
            #expect(eventually { ledger.total == 500 })
            #expect(ledger.allReleasedOnce)
        }
    }
}
