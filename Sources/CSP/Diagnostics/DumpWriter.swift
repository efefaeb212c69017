import CCSP

/// Prints a census in the form of Go's `debug.Stack` at level 2, goroutine by goroutine.
struct DumpWriter: ~Copyable {
    private let now = csp_now()
    private var symbolicator = Symbolicator()
    private let output: (String) -> Void

    init(_ output: @escaping (String) -> Void) { self.output = output }

    mutating func write(_ census: borrowing Census) {
        for group in census.groups { write(group) }
        if census.uncounted > 0 { output("\(census.uncounted) more goroutines with stacks of their own\n\n") }
    }

    private mutating func write(_ group: Census.Group) {
        var text = heading(group)
        if !group.first.hasTrace { text += "\tgoroutine running on another thread; stack unavailable\n" }
        for frame in shown(group) {
            text += frame.place.isEmpty ? "\(frame.name)\n" : "\(frame.name)\n\t\(frame.place)\n"
        }
        if group.first.creatorAddress != 0 {
            let creator = symbolicator.frames(at: [group.first.creatorAddress])[0].first { !$0.isThunk }
            text += "created by \(creator?.name ?? "unknown")"
            text += group.first.creatorID != 0 ? " in goroutine \(group.first.creatorID)\n" : " in a thread outside\n"
            if let creator { text += "\t\(creator.place)\n" }
        }
        output(text + "\n")
    }

    private func heading(_ group: Census.Group) -> String {
        let state =
            switch group.first.state {
            case .waiting: group.first.reason.description + wait(group)
            case .runnable: "runnable"
            case .running: "running"
            case .inSystemCall: "syscall"
            }
        if group.count == 1 {
            return "goroutine \(group.first.id)\(group.name.map { " \"\($0)\"" } ?? "") [\(state)]:\n"
        }
        let ids = group.ids.sorted().map(String.init).joined(separator: ", ")
        return "\(group.count) goroutines [\(state)]: \(ids)\(group.count > group.ids.count ? ", ..." : "")\n"
    }

    private func wait(_ group: Census.Group) -> String {
        let longest = duration(since: group.longestSince), shortest = duration(since: group.shortestSince)
        guard let longest else { return "" }
        return shortest == longest ? ", " + longest : ", \(shortest ?? "0s") to \(longest)"
    }

    /// From a second on; nil below.
    private func duration(since start: Int64) -> String? {
        let seconds = (now - start) / 1_000_000_000
        if seconds < 1 { return nil }
        return seconds < 60 ? "\(seconds)s" : "\(seconds / 60) minutes"
    }

    /// The frames without the runtime's own at either end, but with the operation that the user's code called.
    private mutating func shown(_ group: Census.Group) -> [Symbolicator.Frame] {
        let found = symbolicator.frames(at: group.trace)
        var frames: [Symbolicator.Frame] = []
        for (index, several) in found.enumerated() {
            if index == Int(CSP_TRACE_FIRST), group.omitted > 0 {
                frames.append(
                    Symbolicator.Frame(
                        name: "...\(group.omitted) frames omitted...", place: "", owner: .user, isThunk: false))
            }
            frames += several.filter { !$0.isThunk }
        }
        // Where the optimiser has made a tail call of it, none of the user's code is there.
        while frames.last?.owner == .base { frames.removeLast() }
        let end = frames.lastIndex { $0.owner == .user }.map { $0 + 1 } ?? frames.count
        let leading = frames[..<end].prefix { $0.owner != .user }
        return Array(frames[(leading.lastIndex { $0.owner == .runtime } ?? 0)..<end])
    }
}
