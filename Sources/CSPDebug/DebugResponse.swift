/// What `DebugHandler` answers to a request, for whatever server it came through.
public struct DebugResponse: Sendable {
    /// The HTTP status.
    public var status: Int
    /// As for the header `Content-Type`.
    public var contentType: String
    /// More headers to send.
    public var headers: [(name: String, value: String)]
    /// What is sent, except to HEAD.
    public var body: [UInt8]

    /// - Parameters:
    ///   - status: The HTTP status.
    ///   - contentType: As for the header `Content-Type`.
    ///   - headers: More headers to send.
    ///   - body: What is sent.
    public init(
        status: Int = 200, contentType: String = "text/plain; charset=utf-8",
        headers: [(name: String, value: String)] = [], body: [UInt8]
    ) {
        self.status = status
        self.contentType = contentType
        // What is shown is of this moment.
        self.headers = headers + [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
        self.body = body
    }

    /// The same with a text.
    public init(
        status: Int = 200, contentType: String = "text/plain; charset=utf-8",
        headers: [(name: String, value: String)] = [], text: String
    ) {
        self.init(status: status, contentType: contentType, headers: headers, body: Array(text.utf8))
    }

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }
}
