import CCSP

/// Prints a census in the form of Go's `debug.Stack` at level 2, goroutine by goroutine.
struct DumpWriter: ~Copyable {
    private let now = csp_now()
    private var symbolicator: Symbolicator
    private let output: (String) -> Void

    init(_ symbolicator: Symbolicator, _ output: @escaping (String) -> Void) {
        self.symbolicator = symbolicator
        self.output = output
    }

    mutating func write(_ census: borrowing Census) {
        for group in census.groups { write(group) }
        if census.uncounted > 0 { output("\(census.uncounted) more goroutines with stacks of their own\n\n") }
    }

    private mutating func write(_ group: Census.Group) {
        var text = heading(group)
        if !group.first.hasTrace { text += "\tgoroutine running on another thread; stack unavailable\n" }
        for (frame, _) in symbolicator.shownFrames(group.trace, omitted: group.omitted) {
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
        let state = group.first.stateText + (group.first.state == .waiting ? wait(group) : "")
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
}
