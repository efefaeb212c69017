import CSP

/// How far the work has come: counters that every goroutine of the pipeline may add to and read.
final class Progress: Sendable {
    let filesFound = SharedAtomic<Int64>(0)
    let bytesFound = SharedAtomic<Int64>(0)
    /// 1 when nothing more will be found.
    let counted = SharedAtomic<Int64>(0)
    let filesHashed = SharedAtomic<Int64>(0)
    let bytesHashed = SharedAtomic<Int64>(0)

    /// Walks the tree once more, ahead of the hashing, to learn how much there is to do.
    func count(_ root: BytePath, stop: Channel<Never>) {
        for step in TreeWalk(root) {
            if isClosed(stop) { return }
            // A file that vanishes or cannot be read is for the hashers to report.
            guard case .file(let file) = step, let status = try? status(of: file.name, in: file.directory) else {
                continue
            }
            filesFound.add(1)
            bytesFound.add(status.size)
        }
        counted.store(1)
    }

    func snapshot(elapsed: Duration) -> ProgressSnapshot {
        ProgressSnapshot(
            filesFound: filesFound.load(), bytesFound: bytesFound.load(), isCounted: counted.load() == 1,
            filesHashed: filesHashed.load(), bytesHashed: bytesHashed.load(), elapsed: elapsed)
    }
}

/// `Progress` at one moment, and how to show it in one line.
struct ProgressSnapshot {
    var filesFound: Int64
    var bytesFound: Int64
    var isCounted: Bool
    var filesHashed: Int64
    var bytesHashed: Int64
    var elapsed: Duration

    /// Between 0 and 1. Files may grow while they are read, and an empty tree is done at once.
    var fraction: Double {
        bytesFound == 0 ? (isCounted ? 1 : 0) : min(1, Double(bytesHashed) / Double(bytesFound))
    }

    /// At most `width` columns; the bar takes what the figures leave.
    func line(width: Int) -> String {
        let rate = "\(Self.size(bytesPerSecond))/s"
        guard isCounted else {
            let text =
                " counting: \(filesFound) files, \(Self.size(bytesFound)); hashed \(Self.size(bytesHashed)), \(rate)"
            return String(text.dropFirst().prefix(width))
        }
        let percent = "\(Int(fraction * 100))%"
        let figures =
            String(repeating: " ", count: 4 - percent.count) + percent
            + "  \(Self.size(bytesHashed)) of \(Self.size(bytesFound))  \(filesHashed)/\(filesFound) files  \(rate)"
            + (secondsLeft.map { "  \(Self.time($0)) left" } ?? "")
        let room = min(40, width - figures.count - 3)
        guard room >= 8 else { return String(figures.prefix(width)) }
        let filled = Int(fraction * Double(room))
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: room - filled)
        return "[\(bar)] \(figures)"
    }

    private var bytesPerSecond: Int64 {
        let seconds = elapsed / .seconds(1)
        return seconds > 0 ? Int64(Double(bytesHashed) / seconds) : 0
    }

    private var secondsLeft: Int64? {
        bytesPerSecond > 0 ? max(0, bytesFound - bytesHashed) / bytesPerSecond : nil
    }

    private static func time(_ seconds: Int64) -> String {
        let rest = seconds % 60
        return "\(seconds / 60):" + (rest < 10 ? "0" : "") + "\(rest)"
    }

    /// In the binary unit that leaves at most four digits: "512 B", "1.5 GiB".
    static func size(_ bytes: Int64) -> String {
        var value = Double(bytes)
        var unit = 0
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        if unit == 0 || value >= 100 { return "\(Int(value)) \(units[unit])" }
        let tenths = Int(value * 10)
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}
