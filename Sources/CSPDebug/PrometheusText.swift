/// Writes Prometheus's text exposition format, version 0.0.4.
package struct PrometheusText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    package private(set) var text = ""

    package init() {}

    package typealias Labels = [(name: String, value: String)]

    package enum Kind: String {
        case counter, gauge, histogram
    }

    /// A metric with one value.
    package mutating func add(_ kind: Kind, _ name: String, _ help: String, _ value: some BinaryInteger) {
        add(kind, name, help, [([], Double(value))])
    }

    /// A metric with one value in seconds.
    package mutating func add(_ kind: Kind, _ name: String, _ help: String, _ value: Duration) {
        add(kind, name, help, [([], value.inSeconds)])
    }

    /// A metric with a value for each set of labels.
    package mutating func add(_ kind: Kind, _ name: String, _ help: String, _ values: [(Labels, Double)]) {
        begin(kind, name, help)
        for (labels, value) in values { sample(name, labels, value) }
    }

    /// A histogram of seconds. `counts` has one more than there are bounds, for what is above all.
    package mutating func addHistogram(
        _ name: String, _ help: String, bounds: [Duration], counts: [UInt64], sum: Duration
    ) {
        begin(.histogram, name, help)
        // Buckets count all that is up to their bound.
        var count: UInt64 = 0
        for (bound, more) in zip(bounds, counts) {
            count += more
            sample(name + "_bucket", [("le", Self.number(bound.inSeconds))], Double(count))
        }
        count += counts.dropFirst(bounds.count).reduce(0, +)
        sample(name + "_bucket", [("le", "+Inf")], Double(count))
        sample(name + "_sum", [], sum.inSeconds)
        sample(name + "_count", [], Double(count))
    }

    private mutating func begin(_ kind: Kind, _ name: String, _ help: String) {
        let escaped = help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
        text += "# HELP \(name) \(escaped)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func sample(_ name: String, _ labels: Labels, _ value: Double) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0.name)=\"\(Self.escape($0.value))\"" }.joined(separator: ",") + "}"
        }
        text += " \(Self.number(value))\n"
    }

    private static func escape(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    private static func number(_ value: Double) -> String {
        // Without ".0", as Prometheus's own libraries write it.
        if let integer = Int64(exactly: value) { return "\(integer)" }
        return value.isNaN ? "NaN" : value.isInfinite ? (value > 0 ? "+Inf" : "-Inf") : "\(value)"
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
