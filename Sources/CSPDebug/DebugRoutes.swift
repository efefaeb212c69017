/// What is shown where.
struct DebugRoute: Sendable {
    /// Ends with a slash when the handler also answers for what is below.
    let path: String
    let title: String
    /// One line.
    let summary: String
    let respond: @Sendable (DebugRequest) async throws -> DebugResponse

    init(
        _ path: String, _ title: String, _ summary: String,
        _ respond: @escaping @Sendable (DebugRequest) async throws -> DebugResponse
    ) {
        self.path = path
        self.title = title
        self.summary = summary
        self.respond = respond
    }
}

enum DebugRoutes {
    static let all: [DebugRoute] = pages + PprofReports.routes

    private static let pages = [
        DebugRoute("/", "Live page", "what goroutines and processors do, as it happens") { _ in Page.response },
        DebugRoute("/metrics", "Metrics", "the scheduler's numbers, in Prometheus's text format") { _ in
            await MetricsText.response()
        },
        DebugRoute("/debug/state", "State", "the same with the largest groups of goroutines, as JSON") { request in
            try await StateReport.response(request)
        },
        DebugRoute("/debug/goroutine", "Goroutine", "?id=N one goroutine, ?name=TEXT those of a name, as JSON") {
            try await GoroutineReport.response($0)
        },
        DebugRoute("/debug/flame", "Flame graph", "?seconds=N samples the processors, a tree of calls as JSON") {
            try await FlameReport.response($0)
        },
    ]

    /// The longest path wins.
    static func route(for path: String) -> DebugRoute? {
        all.filter { $0.path == path || $0.path != "/" && $0.path.hasSuffix("/") && path.hasPrefix($0.path) }
            .max { $0.path.utf8.count < $1.path.utf8.count }
    }

    static var listing: String {
        let width = all.map(\.path.count).max()! + 2
        return all.map { "    \($0.path)\(String(repeating: " ", count: width - $0.path.count))\($0.summary)\n" }
            .joined()
    }
}
