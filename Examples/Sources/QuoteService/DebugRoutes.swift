import CSPDebug
import Hummingbird

/// Mounts what CSPDebug shows in this server, where a service has its own port, access control and logs. Here everybody may look: a real one puts these routes behind
/// what only its operators pass.
func addDebugRoutes(to router: Router<BasicRequestContext>) {
    let prefix = "/goroutines"
    router.get("metrics") { request, _ in await answer("/metrics", to: request) }
    router.get("goroutines") { request, _ in
        // The page finds the rest relative to its own address.
        guard request.uri.path.hasSuffix("/") else { return Response.redirect(to: prefix + "/") }
        return await answer("/", to: request)
    }
    router.get("goroutines/**") { request, _ in
        await answer(String(request.uri.path.dropFirst(prefix.count)), to: request)
    }
    // No server of CSPDebug's runs, which would have set it.
    DebugHandler.measuresWaiting = true
}

private func answer(_ path: String, to request: Request) async -> Response {
    let response = await DebugHandler.respond(
        method: request.method.rawValue, path: path, query: request.uri.query ?? "")
    var headers: HTTPFields = [.contentType: response.contentType]
    for (name, value) in response.headers { headers[.init(name)!] = value }
    return Response(
        status: .init(code: response.status), headers: headers,
        body: .init(byteBuffer: ByteBuffer(bytes: response.body)))
}
