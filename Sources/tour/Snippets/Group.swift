import CSP

/// Many requests, a few at a time, each with its own time limit: the production-grade way to do ten thousand of them. The first
/// error ends the rest.
enum Group: Snippet {
    static let name = "group"
    static let title = "An error group with a limit"
    static let summary = "100 requests, ten at a time; the first that fails cancels the others"

    struct NotFound: Error { let page: Int }

    /// Takes some milliseconds, or as long as `context` allows.
    static func fetch(_ page: Int, _ context: Context) throws {
        try Time.sleep(for: .milliseconds(2), in: context)
        if page == 60 { throw NotFound(page: page) }
    }

    static func run() {
        let (group, context) = ErrorGroup.withContext(limit: 10)
        let running = SharedAtomic(0), fetched = SharedAtomic(0)
        for page in 0..<100 {
            group.go {
                precondition(running.add(1) <= 10)
                defer { running.add(-1) }
                try context.withTimeout(.seconds(1)) { try fetch(page, $0) }
                fetched.add(1)
            }
        }
        do { try group.wait() } catch { print("failed:", error) }
        print("the context: \(context.error!), because of \(context.cause!)")
        print("\(fetched.load()) pages were fetched")

        // The same as a scope, with results in order.
        let sizes = try? withGoroutines(limit: 10) { scope in
            try scope.map(0..<20) { page in
                try fetch(page, .current)
                return page * 100
            }
        }
        print("sizes:", sizes ?? [])
    }
}
