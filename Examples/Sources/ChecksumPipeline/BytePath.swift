/// A path as the kernel has it: any bytes but zero, not necessarily UTF-8.
package struct BytePath: Hashable, Sendable {
    package let bytes: [UInt8]

    /// - Precondition: `bytes` contains no zero.
    package init(_ bytes: [UInt8]) {
        precondition(!bytes.contains(0), "a path cannot contain a zero byte")
        self.bytes = bytes
    }

    package init(_ string: String) {
        self.init(Array(string.utf8))
    }

    /// The path of `name` in the directory at this path.
    func appending(_ name: [UInt8]) -> BytePath {
        BytePath(bytes.last == slash || bytes.isEmpty ? bytes + name : bytes + [slash] + name)
    }
}

extension BytePath: CustomStringConvertible {
    /// For messages: what would move the cursor about is shown as an escape, what is not UTF-8 as U+FFFD.
    package var description: String {
        var text = ""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            switch scalar {
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\\": text += "\\\\"
            case _ where scalar.properties.generalCategory == .control:
                let digits = String(scalar.value, radix: 16)
                text += "\\x" + (digits.count < 2 ? "0" : "") + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

let slash = UInt8(ascii: "/")
