import Foundation

extension ManyRequests.Report {
    /// The counts, the percentiles, and a bar for each range of latencies.
    public var text: String {
        let seconds = duration / .seconds(1)
        var lines = [
            String(
                format: "%d answered, %d timed out, %d failed in %.1f s: %.0f a second", answered, timedOut,
                finished - answered - timedOut, seconds, Double(finished) / seconds)
        ]
        for (reason, count) in failures.sorted(by: { $0.value > $1.value }) {
            lines.append("  \(count) times: \(reason)")
        }
        guard answered > 0 else { return lines.joined(separator: "\n") }
        let percentiles = [50, 90, 99, 99.9].map {
            String(format: "p%g %.1f ms", $0, Double(latencies.valueAtPercentile($0)) / 1000)
        }
        lines.append("latency: " + percentiles.joined(separator: ", "))
        lines += bars
        return lines.joined(separator: "\n")
    }

    /// Ranges twice as wide as the one before, from a quarter of a millisecond.
    private var bars: [String] {
        var ranges: [(ClosedRange<UInt64>, UInt64)] = []
        var lower: UInt64 = 0, upper: UInt64 = 250
        while lower <= latencies.max {
            ranges.append((lower...upper - 1, latencies.count(within: lower...upper - 1)))
            (lower, upper) = (upper, upper * 2)
        }
        while ranges.first?.1 == 0 { ranges.removeFirst() }
        let most = ranges.map(\.1).max() ?? 1
        return ranges.map { range, count in
            let bar = String(repeating: "█", count: Int((count * 40 + most - 1) / most))
            return String(format: "up to %8.2f ms %7d  ", Double(range.upperBound + 1) / 1000, Int(count)) + bar
        }
    }
}
