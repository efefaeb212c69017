import CSP
import CSPTesting
import Testing
import XCTest

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

    @Test func whatIsLeftIsShown() {
        let gate = Channel<Never>()
        defer { gate.close() }
        withKnownIssue {
            expectNoLeakedGoroutines(grace: .milliseconds(20)) {
                go("forgotten") { go("below") { gate.receive() } }
            }
        } matching: { issue in
            let text = issue.comments.map(\.rawValue).joined()
            return text.contains("1 goroutine has not returned") && text.contains("\"below\" [chan receive")
                && text.contains("created by")
        }
    }

    @Test func tasksGoroutinesCount() async throws {
        let gate = Channel<Never>()
        defer { gate.close() }
        try await withKnownIssue {
            try await expectNoLeakedGoroutines(grace: .milliseconds(20)) {
                async let started: Void = Task.yield()
                go { gate.receive() }
                Task { go { gate.receive() } }
                await started
            }
        } matching: {
            $0.comments.map(\.rawValue).joined().contains("2 goroutines have not returned")
        }
    }

    @Test func timersGoroutinesCount() {
        let gate = Channel<Never>()
        defer { gate.close() }
        withKnownIssue {
            expectNoLeakedGoroutines(grace: .milliseconds(200)) {
                _ = Time.Timer(.milliseconds(1)) { gate.receive() }
                Time.sleep(for: .milliseconds(20))
            }
        } matching: {
            $0.comments.map(\.rawValue).joined().contains("1 goroutine has")
        }
    }

    @Test func resultsAndErrorsComeThrough() throws {
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
