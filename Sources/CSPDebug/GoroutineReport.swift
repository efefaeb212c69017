import CSP

/// `/debug/goroutine`.
package enum GoroutineReport {
    /// How many a search shows at most.
    static let most = 100

    package struct Found: Codable {
        package let goroutines: [DebugState.Group]
        /// Whether there may be more.
        package let isCut: Bool
    }

    static func response(_ request: DebugRequest) async throws -> DebugResponse {
        if let text = request["id"] {
            guard let id = UInt64(text) else {
                throw BadParameter(description: "id must be a goroutine's number, not \"\(text)\"")
            }
            guard let goroutine = await OwnThread.run({ GoroutineInspector.goroutine(id: id) }) else {
                return DebugResponse(status: 404, text: "there is no goroutine \(id) any more\n")
            }
            return try .json(DebugState.Group(goroutine))
        }
        guard let name = request["name"], !name.isEmpty else {
            throw BadParameter(description: "give id=N or name=TEXT")
        }
        let limit = try request.integer("limit", standard: most, in: 1...most)
        let found = await OwnThread.run { GoroutineInspector.named(name, limit: limit) }
        return try .json(Found(goroutines: found.map(DebugState.Group.init), isCut: found.count >= limit))
    }
}
