import CSP

/// All that the debug server shows, for mounting in a server that is there anyway.
///
/// ```swift
/// let response = await DebugHandler.respond(method: "GET", path: "/metrics", query: "")
/// ```
/// Hand it the requests for `/`, `/metrics` and what is below `/debug/`, as `DebugHandler.paths` lists them. Under a prefix, cut that off from the path
/// first; the page finds the rest by itself, if its own address ends with a slash. Whoever can send requests sees names, stacks and
/// source paths of the program and can make it profile itself: put it behind the same doors as the rest of what only you may see.
public enum DebugHandler {
    /// Answers one request. Never throws: what goes wrong is in the response's status and text.
    ///
    /// - Parameters:
    ///   - method: GET and HEAD are known. The answer to HEAD has the body, too: what is sent of it is the server's business.
    ///   - path: As in the request, with its percent signs.
    ///   - query: What stands behind the question mark, with its percent signs.
    public static func respond(method: String, path: String, query: String = "") async -> DebugResponse {
        guard let route = DebugRoutes.route(for: path) else {
            return DebugResponse(status: 404, text: "nothing is shown at \(path); there is\n\(DebugRoutes.listing)")
        }
        guard method == "GET" || method == "HEAD" else {
            return DebugResponse(
                status: 405, headers: [("Allow", "GET, HEAD")], text: "\(method) does nothing here; use GET\n")
        }
        do {
            return try await route.respond(DebugRequest(path: path, query: query))
        } catch let error as BadParameter {
            return DebugResponse(status: 400, text: error.description + "\n")
        } catch {
            return DebugResponse(status: 500, text: "\(error)\n")
        }
    }

    /// The paths that are answered; below those that end with a slash there is more.
    public static var paths: [String] { DebugRoutes.all.map(\.path) }

    /// Whether scheduling latency and contention are measured, which costs every switch something. `DebugServer` sets it while it runs; without
    /// that server set it where the handlers are mounted.
    public static var measuresWaiting: Bool {
        get { Scheduler.measuresWaiting }
        set { Scheduler.measuresWaiting = newValue }
    }
}
