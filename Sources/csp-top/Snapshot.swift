import CSPDebug
import Foundation

/// A state and the one before it, from which come the numbers by second.
struct Snapshot {
    let state: DebugState
    let previous: DebugState?
    let address: String

    /// How fast what `read` reads grows; nil the first time.
    func rate(_ read: (DebugState) -> Double) -> Double? {
        guard let previous, previous.processID == state.processID, state.time > previous.time else { return nil }
        return max(0, (read(state) - read(previous)) / (state.time - previous.time))
    }

    var queued: Int { state.processors.reduce(state.globalQueue) { $0 + $1.queued } }
    var waiting: Int { state.goroutines.waiting.values.reduce(0, +) }
    var idleProcessors: Int { state.processors.count { $0.isIdle } }
    /// The most frequent first.
    var reasons: [(name: String, count: Int)] {
        state.goroutines.waiting.filter { $0.value > 0 }.map { ($0.key, $0.value) }
            .sorted { ($0.1, $1.0) > ($1.1, $0.0) }
    }

    /// Since the snapshot before, or the program's start. The upper bound of the bucket that the quantile is in; nil when nothing was measured.
    func latency(_ part: Double) -> String? {
        var counts = state.latency.counts
        if let previous, previous.processID == state.processID, previous.latency.counts.count == counts.count {
            for index in counts.indices { counts[index] &-= min(counts[index], previous.latency.counts[index]) }
        }
        let all = counts.reduce(0, +)
        if all == 0 { return nil }
        var left = Double(all) * part
        for (index, count) in counts.enumerated() {
            left -= Double(count)
            guard left <= 1e-9 else { continue }
            let bounds = state.latency.bounds
            return index < bounds.count ? "<=\(duration(bounds[index]))" : ">\(duration(bounds.last ?? 0))"
        }
        return nil
    }

    /// One line for a file or a pipe, of words that are easy to take apart.
    var line: String {
        var words = [
            Date(timeIntervalSince1970: state.time).ISO8601Format(), "goroutines=\(state.goroutines.count)",
            "running=\(state.goroutines.running)", "runnable=\(state.goroutines.runnable)", "waiting=\(waiting)",
            "queued=\(queued)", "ps=\(state.processors.count)", "idle_ps=\(idleProcessors)", "ms=\(state.threads)",
            "latency_p50=\(latency(0.5) ?? "-")", "latency_p99=\(latency(0.99) ?? "-")",
        ]
        words += reasons.map { "\($0.name.replacing(" ", with: "_"))=\($0.count)" }
        return Self.printable(words.joined(separator: " "))
    }

    /// The live table, in that many columns and lines.
    func table(columns: Int, lines: Int) -> [String] {
        var top = [
            "\(state.program), process \(state.processID) at \(address)    "
                + Date(timeIntervalSince1970: state.time).ISO8601Format(),
            "goroutines \(state.goroutines.count): \(state.goroutines.running) running, "
                + "\(state.goroutines.runnable) runnable, \(waiting) waiting; \(rateText { Double($0.goroutines.started) }) started",
            "Ps \(state.processors.count), \(idleProcessors) idle; Ms \(state.threads), \(state.idleThreads) asleep; "
                + "\(rateText { Double($0.scheduling.steals) }) steals, \(rateText { Double($0.scheduling.wakeups) }) wake-ups, "
                + "\(rateText { Double($0.scheduling.handOffs) }) hand-offs",
            "latency 50 % \(latency(0.5) ?? "-"), 99 % \(latency(0.99) ?? "-"); locks \(rateText { Double($0.contentions) }) contended, "
                + "\(rate(\.contentionTime).map(duration) ?? "-")/s waited",
            "stacks \(state.stacks.inUse), \(state.stacks.bytes >> 10) KiB; \(state.timers) timers; \(state.descriptors.polled) descriptors, "
                + "\(state.descriptors.awaited) awaited", "",
        ]
        top += processorTable(columns: columns)
        let sections = [
            section("STATE", reasons.map { ($0.name, $0.count) }, columns: columns, rest: nil),
            section(
                "CREATED BY", (state.census?.creators ?? []).map { (Self.text($0.frame), $0.count) }, columns: columns,
                rest: state.census.map(\.creatorsNotShown)),
        ]
        return (top + sections.flatMap { [""] + $0 }).prefix(max(1, lines)).map {
            String(Self.printable($0).prefix(max(1, columns)))
        }
    }

    private func processorTable(columns: Int) -> [String] {
        let width = max(12, columns - 40)
        var lines = [
            pad("P", 4) + pad("RUNS", width) + right("QUEUED", 8) + right("TIMERS", 8) + right("SWITCHES/S", 14)
        ]
        for processor in state.processors {
            let runs =
                processor.isIdle
                ? "idle" : processor.goroutine.map { "\($0)  \(processor.doing ?? "")" } ?? "looking for work"
            let switches = rate { state in
                Double(state.processors.first { $0.index == processor.index }?.switches ?? processor.switches)
            }
            lines.append(
                pad("\(processor.index)", 4) + pad(runs, width) + right("\(processor.queued)", 8)
                    + right("\(processor.timers)", 8) + right(switches.map { "\(Int($0))" } ?? "-", 14))
        }
        return lines
    }

    private func section(_ title: String, _ rows: [(String, Int)], columns: Int, rest: Int?) -> [String] {
        let width = max(20, columns - 16)
        var lines = [pad(title, width) + right("GOROUTINES", 12)]
        lines += rows.map { pad($0.0, width) + right("\($0.1)", 12) }
        if let rest, rest > 0 { lines.append("and \(rest) more") }
        return lines
    }

    private func rateText(_ read: (DebugState) -> Double) -> String {
        guard let rate = rate(read) else { return "-/s" }
        return (rate >= 10 ? "\(Int(rate))" : String(format: "%.1f", rate)) + "/s"
    }

    private static func text(_ frame: DebugState.Frame?) -> String {
        guard let frame else { return "a thread outside" }
        let file = frame.file.split(separator: "/").last.map(String.init) ?? ""
        return frame.function + (file.isEmpty ? "" : "  \(file):\(frame.line)")
    }

    /// Names come from the program: what would move the cursor is not for the terminal.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }

    private func pad(_ text: String, _ width: Int) -> String {
        let cut = text.prefix(max(0, width - 1))
        return cut + String(repeating: " ", count: width - cut.count)
    }

    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(1, width - text.count)) + text
    }
}

/// "12us": without what a terminal may not have.
func duration(_ seconds: Double) -> String {
    for (unit, factor) in [("s", 1.0), ("ms", 1e3), ("us", 1e6)] where seconds * factor >= 1 {
        return String(format: seconds * factor >= 100 ? "%.0f" : "%.3g", seconds * factor) + unit
    }
    return seconds == 0 ? "0s" : String(format: "%.0f", seconds * 1e9) + "ns"
}
