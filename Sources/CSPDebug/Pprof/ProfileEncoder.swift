import CSP
import Foundation

/// A profile in the form that `go tool pprof` reads: https://github.com/google/pprof/blob/main/proto/profile.proto, without compression.
///
/// By hand, since it is five kinds of messages that are only ever written: SwiftProtobuf takes longer to build than this whole package.
struct ProfileEncoder {
    struct Kind {
        let type: String
        let unit: String
    }

    private var texts: [String: Int] = ["": 0]
    private var textsInOrder = [""]
    private var functions: [Function: UInt64] = [:]
    private var locations: [StackFrame: UInt64] = [:]
    private var samples = ProtoWriter(), locationsWritten = ProtoWriter(), functionsWritten = ProtoWriter()
    private var head = ProtoWriter()

    private struct Function: Hashable {
        let name: String
        let file: String
    }

    /// - Parameters:
    ///   - kinds: What each sample's values are.
    ///   - period: How much of `periodKind` is between samples.
    init(_ kinds: [Kind], periodKind: Kind? = nil, period: Int64 = 0, duration: Duration? = nil) {
        for kind in kinds { head.message(1, encode(kind)) }
        head.number(9, UInt64(Date().timeIntervalSince1970 * 1e9))
        if let duration { head.number(10, UInt64(duration / .nanoseconds(1))) }
        if let periodKind {
            head.message(11, encode(periodKind))
            head.number(12, UInt64(period))
        }
        // One mapping stands for the program and its libraries: all functions are known by name already.
        var mapping = ProtoWriter()
        mapping.number(1, 1)
        mapping.number(3, UInt64(Int64.max))
        mapping.number(5, text(ProcessInfo.processInfo.arguments.first ?? ""))
        for field in 7...10 { mapping.number(field, 1) }
        head.message(3, mapping)
    }

    /// A remark that pprof shows at the top.
    mutating func comment(_ text: String) { head.packed(13, [self.text(text)]) }

    /// - Parameters:
    ///   - stack: Innermost first.
    ///   - labels: For `go tool pprof -tagfocus` and its like.
    mutating func add(_ stack: [StackFrame], _ values: [Int64], labels: [(key: String, value: String)] = []) {
        var sample = ProtoWriter()
        sample.packed(1, stack.map { location($0) })
        sample.packed(2, values.map { UInt64(bitPattern: $0) })
        for label in labels {
            var written = ProtoWriter()
            written.number(1, text(label.key))
            written.number(2, text(label.value))
            sample.message(3, written)
        }
        samples.message(2, sample)
    }

    /// The whole profile.
    var bytes: [UInt8] {
        var strings = ProtoWriter()
        for text in textsInOrder { strings.bytes(6, Array(text.utf8)) }
        return head.written + samples.written + locationsWritten.written + functionsWritten.written + strings.written
    }

    // Each once, and then by its number.

    private mutating func text(_ text: String) -> UInt64 {
        if let known = texts[text] { return UInt64(known) }
        texts[text] = textsInOrder.count
        textsInOrder.append(text)
        return UInt64(textsInOrder.count - 1)
    }

    private mutating func encode(_ kind: Kind) -> ProtoWriter {
        var written = ProtoWriter()
        written.number(1, text(kind.type))
        written.number(2, text(kind.unit))
        return written
    }

    private mutating func location(_ frame: StackFrame) -> UInt64 {
        if let known = locations[frame] { return known }
        let id = UInt64(locations.count + 1)
        locations[frame] = id
        var line = ProtoWriter(), location = ProtoWriter()
        line.number(1, function(frame))
        line.number(2, UInt64(frame.line))
        location.number(1, id)
        location.number(2, 1)
        location.number(3, UInt64(frame.address))
        location.message(4, line)
        locationsWritten.message(4, location)
        return id
    }

    private mutating func function(_ frame: StackFrame) -> UInt64 {
        let function = Function(name: frame.function, file: frame.file)
        if let known = functions[function] { return known }
        let id = UInt64(functions.count + 1)
        functions[function] = id
        var written = ProtoWriter()
        written.number(1, id)
        written.number(2, text(frame.function))
        written.number(3, text(frame.function))
        written.number(4, text(frame.file))
        functionsWritten.message(5, written)
        return id
    }
}

/// Protocol Buffers' wire format, as far as it is needed: https://protobuf.dev/programming-guides/encoding/
package struct ProtoWriter {
    package private(set) var written: [UInt8] = []

    package init() {}

    private mutating func variable(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            written.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        written.append(UInt8(rest))
    }

    /// Zero is what a field is that is not there.
    package mutating func number(_ field: Int, _ value: UInt64) {
        if value == 0 { return }
        variable(UInt64(field << 3))
        variable(value)
    }

    package mutating func bytes(_ field: Int, _ bytes: [UInt8]) {
        variable(UInt64(field << 3 | 2))
        variable(UInt64(bytes.count))
        written += bytes
    }

    mutating func message(_ field: Int, _ message: ProtoWriter) { bytes(field, message.written) }

    package mutating func packed(_ field: Int, _ values: [UInt64]) {
        var list = ProtoWriter()
        for value in values { list.variable(value) }
        bytes(field, list.written)
    }
}
