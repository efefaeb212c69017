import CSPDebug
import Testing

@Suite(.timeLimit(.minutes(5))) struct FlameTests {
    private func frame(_ name: String, line: Int = 1) -> DebugState.Frame {
        DebugState.Frame(function: name, file: "/a.swift", line: line, isRuntime: name == "park")
    }

    /// "all 7(main 7(a 4, b 3))"
    private func text(_ node: FlameReport.Node) -> String {
        let children = node.children.map(text).joined(separator: ", ")
        return "\(node.name) \(node.count)" + (children.isEmpty ? "" : "(\(children))")
    }

    @Test func stacksBecomeATree() {
        let profile = FlameReport.profile(
            [
                ([frame("b"), frame("main")], 3), ([frame("a", line: 2), frame("main")], 1),
                ([frame("a", line: 3), frame("main", line: 9)], 3), ([frame("park")], 1), ([], 2),
            ], seconds: 4)
        #expect(text(profile.root) == "all 10(main 7(a 4, b 3), park 1)")
        #expect(profile.samples == 10 && profile.seconds == 4 && profile.samplesNotShown == 0)
        #expect(profile.root.children[0].place == "/a.swift:1" && profile.root.children[1].isRuntime)
    }

    @Test func whatIsTooSmallToSeeIsCounted() {
        let many = (0..<5_000).map { (stack: [frame("f\($0)")], count: 1) }
        let profile = FlameReport.profile(many + [([frame("main")], 95_000)], seconds: 1)
        #expect(text(profile.root) == "all 100000(main 95000)" && profile.samplesNotShown == 5_000)
    }

    @Test func aProfileShowsWhoComputes() async throws {
        let program = try RunningProgram("known")
        func names(_ node: FlameReport.Node) -> [String] { [node.name] + node.children.flatMap(names) }
        let profile = try await send("/debug/flame?seconds=1", to: program.port).decoded(FlameReport.Profile.self)
        #expect(profile.samples > 0)
        #expect(names(profile.root).contains { $0.contains("fifty") }, "\(names(profile.root))")
        #expect(program.end() == 0)
    }
}
