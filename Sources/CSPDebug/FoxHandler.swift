import FlyingFox
import Foundation

/// `DebugHandler` for FlyingFox.
struct FoxHandler: HTTPHandler {
    /// Whether only this machine can reach the server.
    let isLoopback: Bool

    func handleRequest(_ request: HTTPRequest) async throws -> HTTPResponse {
        if let reason = refusal(request) { return answer(DebugResponse(status: 403, text: reason + "\n"), to: request) }
        let response = await DebugHandler.respond(
            method: request.method.rawValue, path: request.target.path(), query: request.target.query())
        return answer(response, to: request)
    }

    private func answer(_ response: DebugResponse, to request: HTTPRequest) -> HTTPResponse {
        var headers = HTTPHeaders()
        headers[.contentType] = response.contentType
        for (name, value) in response.headers { headers[HTTPHeader(name)] = value }
        headers[.contentLength] = "\(response.body.count)"
        return HTTPResponse(
            statusCode: HTTPStatusCode(response.status, phrase: Self.phrases[response.status] ?? "Other"),
            headers: headers, body: request.method == .HEAD ? Data() : Data(response.body))
    }

    private static let phrases = [
        200: "OK", 302: "Found", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
        409: "Conflict", 500: "Internal Server Error", 503: "Service Unavailable",
    ]

    /// Pages of other sites must get nothing, though a browser on this machine sends their requests here, too.
    private func refusal(_ request: HTTPRequest) -> String? {
        let site = request.headers[HTTPHeader("Sec-Fetch-Site")] ?? "none"
        let isLink = request.headers[HTTPHeader("Sec-Fetch-Mode")] == "navigate"
        if site != "none" && site != "same-origin" && !isLink { return "refused: the request is from another site" }
        guard isLoopback, let host = request.headers[.host] else { return nil }
        // A name that somebody else has given this machine's address would make their page one of the same origin.
        let name = host.hasPrefix("[") ? String(host.prefix { $0 != "]" }) + "]" : String(host.prefix { $0 != ":" })
        let isOurs =
            name == "[::1]" || name == "localhost" || name.hasSuffix(".localhost")
            || name.hasPrefix("127.") && name.allSatisfy { $0.isNumber || $0 == "." }
        return isOurs ? nil : "refused: the server is for this machine only, by the name localhost and not \(name)"
    }
}
