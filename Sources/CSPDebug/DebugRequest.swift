import Foundation

/// What a route's handler gets to know of a request.
struct DebugRequest: Sendable {
    /// As the route's path, except below one that ends with a slash.
    let path: String
    private let query: [String: String]

    /// - Parameter query: What stands behind the question mark, with its percent signs.
    init(path: String, query: String) {
        self.path = path
        var found: [String: String] = [:]
        for part in query.split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            found[Self.decode(pair[0])] = pair.count == 2 ? Self.decode(pair[1]) : ""
        }
        self.query = found
    }

    /// The parameter's value, if there is one.
    subscript(name: String) -> String? { query[name] }

    /// The parameter as a number; `standard` when it is not there.
    func integer(_ name: String, standard: Int, in range: ClosedRange<Int>) throws(BadParameter) -> Int {
        guard let text = query[name] else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw BadParameter(
                description: "\(name) must be a number from \(range.lowerBound) to \(range.upperBound), not \"\(text)\""
            )
        }
        return number
    }

    private static func decode(_ text: Substring) -> String {
        let spaced = text.replacing("+", with: " ")
        return String(spaced).removingPercentEncoding ?? String(spaced)
    }
}

/// A request that asks for what cannot be.
struct BadParameter: Error {
    let description: String
}
