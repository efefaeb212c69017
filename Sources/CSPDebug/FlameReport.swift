import CSP

/// `/debug/flame`: a CPU profile as a tree of calls.
package enum FlameReport {
    package struct Profile: Codable, Sendable {
        package let samples: Int
        package let seconds: Int
        package let root: Node
        /// Samples in frames too small to draw, which are not in the tree.
        package let samplesNotShown: Int
    }

    package struct Node: Codable, Sendable {
        package let name: String
        package let place: String
        package let isRuntime: Bool
        package let count: Int
        package let children: [Node]
    }

    static func response(_ request: DebugRequest) async throws -> DebugResponse {
        let seconds = try request.integer("seconds", standard: 3, in: 1...60)
        // Twice as often as usual: who looks on wants a picture soon.
        let result = await OwnThread.run {
            Result { () throws(CPUProfiler.Failure) in
                let profile = try CPUProfiler.run(for: .seconds(seconds), hertz: 200)
                var symbolicator = Symbolicator()
                return Self.profile(
                    profile.entries.map { entry in
                        (symbolicator.shown(entry.stack, omitted: 0).map(DebugState.Frame.init), entry.count)
                    }, seconds: seconds)
            }
        }
        switch result {
        case .success(let profile): return try .json(profile)
        case .failure(.busy): return DebugResponse(status: 409, text: "\(CPUProfiler.Failure.busy)\n")
        case .failure(let failure): return DebugResponse(status: 503, text: "\(failure)\n")
        }
    }

    /// - Parameter samples: Stacks, innermost frame first, and how often each was seen.
    package static func profile(_ samples: [(stack: [DebugState.Frame], count: Int)], seconds: Int) -> Profile {
        var root = Branch(DebugState.Frame(function: "all", file: "", line: 0, isRuntime: false))
        for sample in samples { root.add(sample.stack.reversed()[...], sample.count) }
        // A frame of less than a thousandth is narrower than a pixel.
        let least = max(1, root.count / 1000)
        var cut = 0
        return Profile(
            samples: root.count, seconds: seconds, root: root.node(least: least, cut: &cut), samplesNotShown: cut)
    }

    /// Of the tree while it grows. Frames of one function are one, whatever their lines.
    private struct Branch {
        let frame: DebugState.Frame
        var count = 0
        var children: [String: Branch] = [:]

        init(_ frame: DebugState.Frame) { self.frame = frame }

        mutating func add(_ stack: ArraySlice<DebugState.Frame>, _ more: Int) {
            count += more
            guard let first = stack.first else { return }
            children[first.function, default: Branch(first)].add(stack.dropFirst(), more)
        }

        func node(least: Int, cut: inout Int) -> Node {
            var shown: [Node] = []
            for child in children.values.sorted(by: { $0.frame.function < $1.frame.function }) {
                if child.count < least {
                    cut += child.count
                } else {
                    shown.append(child.node(least: least, cut: &cut))
                }
            }
            return Node(
                name: frame.function, place: frame.file.isEmpty ? "" : "\(frame.file):\(frame.line)",
                isRuntime: frame.isRuntime, count: count, children: shown)
        }
    }
}
