/// `/`: one file, which needs nothing from elsewhere.
enum Page {
    // What it may do is said again to the browser, in case that something is not escaped after all.
    static let response = DebugResponse(
        contentType: "text/html; charset=utf-8",
        headers: [
            (
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
                    + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
        ],
        body: PackageResources.page_html)
}
