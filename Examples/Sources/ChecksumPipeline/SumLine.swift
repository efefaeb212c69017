/// One line of output, as `sha256sum` prints and `sha256sum -c` reads it.
///
/// The format is GNU's: the digest, two spaces, the name. A name with a backslash, a newline or a carriage return in it
/// has these escaped, and its line starts with a backslash to say so.
package enum SumLine {
    package static func bytes(digest: some Sequence<UInt8>, path: BytePath) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(path.bytes.count + 70)
        let escaped = path.bytes.contains { escape(for: $0) != nil }
        if escaped { line.append(backslash) }
        for byte in digest {
            line.append(hexDigits[Int(byte >> 4)])
            line.append(hexDigits[Int(byte & 0xF)])
        }
        line += [space, space]
        // `sha256sum -c` takes a bare "-" for standard input.
        if path.bytes == [UInt8(ascii: "-")] { line += [UInt8(ascii: "."), slash] }
        for byte in path.bytes {
            if let letter = escape(for: byte) { line += [backslash, letter] } else { line.append(byte) }
        }
        line.append(newline)
        return line
    }

    /// What follows the backslash in place of `byte`; nil when it stands for itself.
    private static func escape(for byte: UInt8) -> UInt8? {
        switch byte {
        case backslash: backslash
        case newline: UInt8(ascii: "n")
        case UInt8(ascii: "\r"): UInt8(ascii: "r")
        default: nil
        }
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)
    private static let space = UInt8(ascii: " ")
    private static let newline = UInt8(ascii: "\n")
    private static let backslash = UInt8(ascii: "\\")
}
