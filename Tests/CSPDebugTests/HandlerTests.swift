import CSP
import CSPDebug
import Foundation
import Testing

/// What the handlers show of goroutines.
@Suite(.timeLimit(.minutes(5)), .serialized) struct HandlerTests {
    @Test func aSearchFindsNamesAndIsBounded() async throws {
        let name = "quoted \"\\ <b>ünlü</b> & 100 %\n"
        let waiters = Waiters(12, named: name)
        let query = "name=" + "quoted \"\\ <b>ünlü".addingPercentEncoding(withAllowedCharacters: .alphanumerics)!
        let found = try await eventually {
            try await respond("/debug/goroutine", query).decoded(GoroutineReport.Found.self)
        } _: { found in
            found.goroutines.count == 12 && found.goroutines.allSatisfy { $0.state == "chan receive" }
        }
        #expect(found.goroutines.count == 12 && !found.isCut)
        #expect(found.goroutines.allSatisfy { $0.name == name && $0.count == 1 && $0.ids.count == 1 })
        #expect(found.goroutines.allSatisfy { $0.stack.contains { $0.function.contains("waitBelow") } })
        #expect(found.goroutines.allSatisfy { $0.creator != nil })
        let first = try await respond("/debug/goroutine", query + "&limit=5").decoded(GoroutineReport.Found.self)
        #expect(first.goroutines.count == 5 && first.isCut)

        let id = found.goroutines[0].ids[0]
        let one = try await respond("/debug/goroutine", "id=\(id)").decoded(DebugState.Group.self)
        #expect(one.ids == [id] && one.name == name && one.state == "chan receive" && one.longestWait > 0)
        try await waiters.end()
        let gone = try await eventually {
            await respond("/debug/goroutine", "id=\(id)")
        } _: {
            $0.status == 404
        }
        #expect(gone.status == 404 && gone.text == "there is no goroutine \(id) any more\n")
    }

    @Test func wrongQuestionsAreAnswered() async {
        for query in ["", "id=", "id=x", "id=-1", "name=", "name=x&limit=0", "name=x&limit=1000000"] {
            #expect(await respond("/debug/goroutine", query).status == 400, "\(query)")
        }
        for query in ["groups=-1", "groups=51", "creators=x"] {
            #expect(await respond("/debug/state", query).status == 400, "\(query)")
        }
        #expect(await respond("/debug/flame", "seconds=0").status == 400)
        #expect(await respond("/debug/flame", "seconds=61").status == 400)
        #expect(await respond("/debug/goroutine/x").status == 404)
        #expect(await respond("/", method: "DELETE").status == 405)
        #expect(DebugHandler.paths.contains("/") && DebugHandler.paths.contains("/metrics"))
    }

    @Test func theLargestGroupsComeFirstAndTheRestIsCounted() async throws {
        // One group of 300, and 70 of one each: each depth is another stack.
        let waiters = Waiters(370, named: "one of many groups") { $0 < 300 ? 1 : $0 - 298 }
        let groups = try await eventually {
            let all = await onThread { GoroutineInspector.groups().groups }
            return all.filter { $0.state == "chan receive" && $0.stack.contains { $0.function.contains("waitBelow") } }
        } _: {
            $0.reduce(0) { $0 + $1.count } >= 370
        }
        let count = groups.reduce(0) { $0 + $1.count }
        let all = StateReport.census(groups, uncounted: 7, groups: 50, creators: 1)
        #expect(all.groups.count == 50 && all.groups[0].count >= 300)
        #expect(all.groupsNotShown == groups.count - 50)
        #expect(all.groups.reduce(0) { $0 + $1.count } + all.goroutinesNotShown == count + 7)
        #expect(all.creators.count == 1 && all.creators[0].count >= 370)
        try await waiters.end()
    }

    @Test func theStateIsBoundedAndWhole() async throws {
        let waiters = Waiters(300, named: "crowd")
        let state = try await eventually {
            try await respond("/debug/state", "groups=50").decoded(DebugState.self)
        } _: { state in
            state.goroutines.waiting["chan receive", default: 0] >= 300
                && state.census!.groups.contains {
                    $0.count >= 300 && $0.stack.contains { $0.function.contains("waitBelow") }
                }
        }
        let census = try #require(state.census)
        let crowd = try #require(census.groups.first { $0.stack.contains { $0.function.contains("waitBelow") } })
        #expect(crowd.count >= 300 && crowd.ids.count == 16 && crowd.state == "chan receive" && crowd.name == nil)
        #expect(census.groups.count <= 50 && census.creators.count <= 20)
        #expect(state.goroutines.count >= 300 && state.goroutines.waiting["chan receive", default: 0] >= 300)
        #expect(state.goroutines.started >= 300)
        #expect(!state.processors.isEmpty)
        #expect(state.processors.map(\.index) == Array(state.processors.indices))
        #expect(state.latency.counts.count == state.latency.bounds.count + 1)
        #expect(state.processID == ProcessInfo.processInfo.processIdentifier)
        let small = try await respond("/debug/state", "groups=0&creators=0").decoded(DebugState.self)
        #expect(small.census == nil && small.goroutines.count >= 300)
        try await waiters.end()
    }
}

/// For what must not block Swift's own threads.
func onThread<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: body()) }
    }
}
