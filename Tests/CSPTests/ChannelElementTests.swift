import CSP
import Testing

/// Elements of every shape, and that each is released exactly once.
@Suite struct ChannelElementTests {
    @Test(arguments: [0, 1, 7])
    func noncopyableValuesMoveThrough(capacity: Int) {
        let count = 500
        let ledger = Ledger(count)
        inGoroutine {
            let channel = Channel<Token>(capacity: capacity)
            go {
                for id in 0..<count { channel.send(ledger.token(id)) }
                channel.close()
            }
            var expected = 0
            while let token = channel.receive() {
                #expect(token.id == expected)
                #expect(ledger.counts[token.id] == 0)
                expected += 1
            }
            #expect(expected == count)
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func valuesLeftInADroppedBufferAreReleased() {
        let ledger = Ledger(5)
        do {
            let channel = Channel<Token>(capacity: 8)
            for id in 0..<5 { #expect(channel.trySend(id, of: ledger)) }
            #expect(ledger.total == 0)
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func valuesLeftInAWrappedBufferAreReleased() {
        for offset in 0..<6 {
            let ledger = Ledger(offset + 4)
            do {
                let channel = Channel<Token>(capacity: 4)
                for id in 0..<offset {
                    #expect(channel.trySend(id, of: ledger))
                    _ = channel.tryReceive()
                }
                for id in offset..<offset + 4 { #expect(channel.trySend(id, of: ledger)) }
                #expect(ledger.total == offset)
            }
            #expect(ledger.allReleasedOnce, "the ring starts at \(offset)")
        }
    }

    @Test func valuesLeftInAClosedChannelAreReleased() {
        let ledger = Ledger(3)
        do {
            let channel = Channel<Token>(capacity: 4)
            for id in 0..<3 { #expect(channel.trySend(id, of: ledger)) }
            channel.close()
            if case .value(let token) = channel.tryReceive() { #expect(token.id == 0) }
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func unusedReceivedValuesAreReleasedAtOnce() {
        let ledger = Ledger(2)
        onThread {
            let channel = Channel<Token>(capacity: 2)
            channel.send(ledger.token(0))
            channel.send(ledger.token(1))
            channel.receive()
            #expect(ledger.counts == [1, 0])
            _ = channel.tryReceive()
            #expect(ledger.counts == [1, 1])
        }
    }

    @Test(arguments: [0, 3])
    func objectsAreReleasedOnce(capacity: Int) {
        let count = 1_000
        let ledger = Ledger(count)
        inGoroutine {
            let channel = Channel<TokenObject>(capacity: capacity)
            let finished = WaitGroup()
            for receiver in 0..<4 {
                finished.go {
                    while let object = channel.receive() {
                        if object.id % 7 == receiver { Goroutine.yield() }
                    }
                }
            }
            for id in 0..<count { channel.send(TokenObject(id, ledger)) }
            channel.close()
            finished.wait()
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func droppedObjectsInTheBufferAreReleased() {
        let ledger = Ledger(10)
        do {
            let channel = Channel<TokenObject>(capacity: 10)
            for id in 0..<10 {
                let sent = channel.trySend(TokenObject(id, ledger))
                #expect(sent)
            }
        }
        #expect(ledger.allReleasedOnce)
    }

    @Test func aNonSendableObjectChangesHands() {
        final class Draft { var text = "" }
        inGoroutine {
            let drafts = Channel<Draft>()
            let finished = Channel<Draft>()
            go {
                for draft in drafts {
                    draft.text += "!"
                    finished.send(draft)
                }
                finished.close()
            }
            for n in 0..<10 {
                let draft = Draft()
                draft.text = "\(n)"
                drafts.send(draft)
                #expect(finished.receive()?.text == "\(n)!")
            }
            drafts.close()
            #expect(finished.receive() == nil)
        }
    }

    @Test(arguments: [0, 2])
    func largeElementsArriveWhole(capacity: Int) {
        typealias Block = InlineArray<1_024, Int>
        inGoroutine {
            let blocks = Channel<Block>(capacity: capacity)
            go {
                for n in 0..<50 { blocks.send(Block { n * 10_000 + $0 }) }
                blocks.close()
            }
            var n = 0
            var damaged = 0
            while let block = blocks.receive() {
                for index in block.indices where block[index] != n * 10_000 + index { damaged += 1 }
                n += 1
            }
            #expect(n == 50)
            #expect(damaged == 0)
        }
    }

    @Test(arguments: [0, 3])
    func overalignedElementsArriveWhole(capacity: Int) {
        typealias Vector = SIMD16<Double>
        inGoroutine {
            let vectors = Channel<(UInt8, Vector)>(capacity: capacity)
            go {
                for n in 0..<100 { vectors.send((UInt8(n), Vector(repeating: Double(n)))) }
                vectors.close()
            }
            var n = 0
            while let (small, vector) = vectors.receive() {
                #expect(small == UInt8(n))
                #expect(vector == Vector(repeating: Double(n)))
                n += 1
            }
            #expect(n == 100)
        }
    }

    @Test(arguments: [0, 3])
    func voidElementsAreCounted(capacity: Int) {
        inGoroutine {
            let signals = Channel<Void>(capacity: capacity)
            go {
                for _ in 0..<100 { signals.send(()) }
                signals.close()
            }
            var count = 0
            while signals.receive() != nil { count += 1 }
            #expect(count == 100)
        }
    }

    @Test func aBufferOfVoidFillsUp() {
        let signals = Channel<Void>(capacity: 2)
        #expect(signals.trySend(()))
        #expect(signals.trySend(()))
        #expect(!signals.trySend(()))
        #expect(signals.count == 2)
        guard case .value = signals.tryReceive() else {
            Issue.record("a signal was lost")
            return
        }
        #expect(signals.count == 1)
    }

    @Test func emptyStructuresAreZeroSizedElementsToo() {
        struct Nothing: Equatable {}
        let channel = Channel<Nothing>(capacity: 1)
        #expect(channel.trySend(Nothing()))
        #expect(Attempt(channel.tryReceive()) == .value(Nothing()))
        #expect(Attempt(channel.tryReceive()) == .empty)
    }

    @Test func anOptionalElementIsNotTheEnd() {
        onThread {
            let channel = Channel<Int?>(capacity: 2)
            channel.send(nil)
            channel.send(3)
            channel.close()
            #expect(channel.receive() == .some(.none))
            #expect(channel.receive() == .some(.some(3)))
            #expect(channel.receive() == .none)
        }
    }

    @Test func stringsArraysExistentialsAndClosuresPass() {
        inGoroutine {
            let anything = Channel<any Sendable & CustomStringConvertible>(capacity: 1)
            anything.send("text of more than fifteen bytes, so on the heap")
            #expect(anything.receive()?.description.count == 47)
            anything.send(5)
            #expect(anything.receive()?.description == "5")
            let work = Channel<@Sendable () -> [Int]>()
            go { work.send { [1, 2, 3] } }
            let body = work.receive()
            #expect(body?() == [1, 2, 3])
        }
    }
}
