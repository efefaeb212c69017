import CSP
import Testing

/// What bodies may return and throw.
@Suite struct SelectBodyTests {
    struct Refused: Error, Equatable { let code: Int }
    enum Stop: Error { case now }

    @Test func aBodysErrorIsThrownByTheSelect() {
        inGoroutine {
            let numbers = Channel<Int>(capacity: 1)
            let quit = Channel<Never>()
            quit.close()
            #expect(throws: Stop.now) {
                try select {
                    Receive(numbers) { $0 ?? 0 }
                    Receive(quit) { _ -> Int in throw Stop.now }
                }
            }
        }
    }

    @Test func aBodyThatDoesNotThrowReturnsBesideOneThatDoes() throws {
        let numbers = Channel<Int>(capacity: 1)
        let quit = Channel<Never>()
        inGoroutine {
            numbers <- 4
            let n: Int = try select {
                Receive(numbers) { $0 ?? 0 }
                Receive(quit) { _ -> Int in throw Stop.now }
            }
            #expect(n == 4)
        }
    }

    @Test func typedErrorsKeepTheirType() {
        inGoroutine {
            let ready = Channel<Int>(capacity: 1)
            ready <- 5
            let idle = Channel<Int>()
            do throws(Refused) {
                try select {
                    Receive(ready) { (value: consuming Int?) throws(Refused) -> Void in throw Refused(code: value!) }
                    Receive(idle) { (_: consuming Int?) throws(Refused) -> Void in }
                }
                Issue.record("nothing was thrown")
            } catch {
                let refused: Refused = error
                #expect(refused == Refused(code: 5))
            }
        }
    }

    @Test func aThrowingBodyHasTakenItsValue() {
        inGoroutine {
            let numbers = Channel<Int>(capacity: 2)
            numbers <- 1
            numbers <- 2
            #expect(throws: Stop.now) {
                try select { Receive(numbers) { _ in throw Stop.now } }
            }
            #expect((<-numbers) == 2)
        }
    }

    @Test func sendsAftersAndDefaultsMayThrow() {
        inGoroutine {
            let room = Channel<Int>(capacity: 1)
            #expect(throws: Stop.now) { try select { Send(1, to: room) { throw Stop.now } } }
            #expect(room.count == 1)
            #expect(throws: Stop.now) { try select { After(.milliseconds(1)) { throw Stop.now } } }
            #expect(throws: Stop.now) {
                try select {
                    Send(2, to: room) {}
                    Default { throw Stop.now }
                }
            }
            #expect(room.count == 1)
        }
    }

    @Test func bodiesOfDifferentTypesAreDropped() {
        inGoroutine {
            let numbers = Channel<Int>(capacity: 1)
            let total = SharedAtomic(0)
            let quit = Channel<Never>()
            var seen: Set<Int> = []
            numbers <- 3
            select {
                Receive(numbers) { total.add($0!) }
                Receive(quit) { _ in }
            }
            #expect(total.load() == 3)
            numbers <- 4
            select {
                Receive(quit) { _ in }
                Receive(numbers) { seen.insert($0!) }
                After(.seconds(60)) {}
            }
            #expect(seen == [4])
        }
    }

    @Test func anySelectReturnsWhatItsBodiesReturn() {
        inGoroutine {
            let texts = Channel<String>(capacity: 1)
            texts <- "abc"
            let length = select {
                Receive(texts) { $0!.count }
                Default { -1 }
            }
            #expect(length == 3)
        }
    }

    @Test func aCaseThatNeverReturnsStandsBesideAny() {
        inGoroutine {
            let numbers = Channel<Int>(capacity: 1)
            numbers <- 1
            let number = select {
                Receive(numbers) { $0! }
                After(.seconds(1000)) { fatalError("nothing came") }
            }
            #expect(number == 1)
        }
    }
}
