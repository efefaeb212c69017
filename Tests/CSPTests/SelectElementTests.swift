import CSP
import Testing

/// Noncopyable and counted values in select's cases: each is released exactly once, chosen or not.
@Suite struct SelectElementTests {
    @Test func anUnsentValueIsReleasedWhenTheSelectEnds() {
        let ledger = Ledger(1)
        onThread {
            let full = Channel<Token>()
            select {
                Send(ledger.token(0), to: full) { Issue.record("nobody was there to take it") }
                Default {}
            }
            #expect(ledger.counts == [1])
        }
    }

    @Test func anUnsentValueOfAWaitingSelectIsReleased() {
        let ledger = Ledger(2)
        inGoroutine {
            let idle = Channel<Token>()
            let other = Channel<Int>()
            go {
                settle()
                other <- 1
            }
            select {
                Send(ledger.token(0), to: idle) {}
                Receive(other) { _ in }
                Send(ledger.token(1), to: idle) {}
            }
            #expect(ledger.counts == [1, 1])
        }
    }

    @Test func aValueForANilChannelIsReleased() {
        let ledger = Ledger(1)
        onThread {
            let none: Channel<Token>? = nil
            select {
                Send(ledger.token(0), to: none) {}
                Default {}
            }
            #expect(ledger.counts == [1])
        }
    }

    @Test func aSentValueIsTheReceivers() {
        let ledger = Ledger(200)
        inGoroutine {
            let tokens = Channel<Token>()
            go {
                for id in 0..<200 {
                    select { Send(ledger.token(id), to: tokens) {} }
                }
                tokens.close()
            }
            for id in 0..<200 {
                let received: Int = select {
                    Receive(tokens) { token in
                        #expect(ledger.counts[id] == 0)
                        guard let token else { return -1 }
                        return token.id
                    }
                }
                #expect(received == id)
                #expect(ledger.counts[id] == 1)
            }
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func dynamicSelectsReleaseUnsentValues() {
        let ledger = Ledger(10)
        inGoroutine {
            let idle = Channel<Token>()
            var cases = (0..<10).map { id in AnySelectCase(Send(ledger.token(id), to: idle) {}) }
            cases.append(AnySelectCase(Default {}))
            select(cases)
            cases = []
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func aThrowingSelectReleasesItsValues() {
        struct Stop: Error {}
        let ledger = Ledger(1)
        inGoroutine {
            let idle = Channel<Token>()
            #expect(throws: Stop.self) {
                try select {
                    Send(ledger.token(0), to: idle) {}
                    Default { throw Stop() }
                }
            }
            #expect(ledger.counts == [1])
        }
    }

    @Test func objectsAndBodiesAreReleased() {
        let ledger = Ledger(600)
        inGoroutine {
            let objects = Channel<TokenObject>()
            let idle = Channel<TokenObject>()
            go {
                for id in 0..<200 { objects.send(TokenObject(id, ledger)) }
                objects.close()
            }
            for id in 0..<200 {
                let captured = TokenObject(200 + id, ledger)
                select {
                    Receive(objects) { object in #expect(object?.id == captured.id - 200) }
                    Send(TokenObject(400 + id, ledger), to: idle) { _ = captured.id }
                }
            }
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func largeValuesGoThroughSelects() {
        typealias Block = InlineArray<256, Int>
        inGoroutine {
            let blocks = Channel<Block>()
            go {
                for n in 0..<50 { select { Send(Block { n + $0 }, to: blocks) {} } }
                blocks.close()
            }
            for n in 0..<50 {
                let last: Int = select { Receive(blocks) { $0![255] } }
                #expect(last == n + 255)
            }
        }
    }
}
