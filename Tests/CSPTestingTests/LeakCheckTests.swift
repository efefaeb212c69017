import CSP
import CSPTesting
import Testing
import XCTest

/// That leaks fail tests, of both kinds, Scripts/consumer-package sees.
@Suite(.noLeakedGoroutines) struct LeakCheckTests {
    @Test func nothingIsLeft() {
        let all = WaitGroup()
        for _ in 0..<100 { all.go { Goroutine.yield() } }
        all.wait()
    }

    @Test func thoseThatEndSoonDoNotCount() {
        for n in 1...10 { go { Time.sleep(for: .milliseconds(n)) } }
    }

    @Test func thoseOfOthersDoNotCount() {
        let gate = Channel<Never>()
        defer { gate.close() }
        go { gate.receive() }
        expectNoLeakedGoroutines(grace: .milliseconds(20)) { go {} }
    }

    /// What is said of the goroutines that `body` leaves waiting for the gate.
    private func leaks(grace: Duration = .milliseconds(20), _ body: (Channel<Never>) -> Void) throws -> String {
        let gate = Channel<Never>(), check = LeakCheck(grace: grace)
        defer { gate.close() }
        check.family.gather { body(gate) }
        return try #require(check.finish())
    }

    @Test func whatIsLeftIsShown() throws {
        let text = try leaks { gate in go("forgotten") { go("below") { gate.receive() } } }
        #expect(text.hasPrefix("1 goroutine has not returned 0.02 seconds after the code that started them:"))
        #expect(text.contains("\"below\" [chan receive"))
        #expect(text.contains("created by"))
        #expect(!text.contains("forgotten"))
    }

    @Test func itSeesThoseOfGoroutines() throws {
        let text = try Goroutine.run { try leaks { gate in go { gate.receive() } } }
        #expect(text.hasPrefix("1 goroutine has"))
    }

    @Test func itSeesThoseOfTasks() async throws {
        let gate = Channel<Never>(), check = LeakCheck(grace: .milliseconds(20))
        defer { gate.close() }
        try await check.family.gather {
            go { gate.receive() }
            await Task { go { gate.receive() } }.value
        }
        let left = await Goroutine.run { check.finish() }
        let text = try #require(left)
        #expect(text.hasPrefix("2 goroutines have"))
    }

    @Test func itSeesThoseOfTimers() throws {
        let text = try leaks(grace: .milliseconds(200)) { gate in
            let fired = Channel<Never>()
            _ = Time.Timer(.milliseconds(1)) {
                fired.close()
                gate.receive()
            }
            fired.receive()
        }
        #expect(text.hasPrefix("1 goroutine has"))
    }

    @Test func innerOnesAreOuterOnes() throws {
        let gate = Channel<Never>(), outer = LeakCheck(grace: .milliseconds(20)),
            inner = LeakCheck(grace: .milliseconds(20))
        outer.family.gather { LeakCheck(grace: .zero).family.gather { go { gate.receive() } } }
        #expect(inner.finish() == nil)
        #expect(try #require(outer.finish()).hasPrefix("1 goroutine has"))
        gate.close()
        #expect(LeakCheck(grace: .seconds(1)).finish() == nil)
    }

    @Test func resultsAndErrorsComeThrough() {
        struct Wrong: Error {}
        #expect(expectNoLeakedGoroutines { 7 } == 7)
        #expect(throws: Wrong.self) { try expectNoLeakedGoroutines { throw Wrong() } }
    }
}

final class LeakCheckXCTests: XCTestCase {
    func testNothingIsLeft() {
        expectNoLeakedGoroutines { go {} }
    }
}
