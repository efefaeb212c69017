import CSP
import CSPDebug
import CSPNet
import Foundation
import Testing

/// An answer of a server.
struct Answer {
    let status: Int
    /// By name, in small letters.
    let headers: [String: String]
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    func decoded<T: Decodable>(_ type: T.Type) throws -> T { try JSONDecoder().decode(type, from: Data(body)) }
}

/// Sends one request and reads the answer until the server ends the connection. Suspends, and blocks none of the threads that the server needs.
func send(
    _ path: String, to port: Int, method: String = "GET", host: String = "localhost", headers: [String] = []
) async throws -> Answer {
    let connection = try await TCPConnection.dial(.ip(.loopback, port: UInt16(port)))
    defer { connection.close() }
    let lines = ["\(method) \(path) HTTP/1.1", "Host: \(host)", "Connection: close"] + headers
    try await connection.write(lines.joined(separator: "\r\n") + "\r\n\r\n")
    let reader = BufferedReader(connection)
    let first = try #require(try await reader.readLine())
    var found: [String: String] = [:]
    while let line = try await reader.readLine(), !line.isEmpty {
        let parts = line.split(separator: ":", maxSplits: 1)
        found[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
    }
    return Answer(
        status: try #require(Int(first.split(separator: " ")[1])), headers: found,
        body: try await reader.readToEnd(limit: 64 << 20))
}

/// As the handlers answer, without a server.
func respond(_ path: String, _ query: String = "", method: String = "GET") async -> Answer {
    let response = await DebugHandler.respond(method: method, path: path, query: query)
    return Answer(
        status: response.status, headers: ["content-type": response.contentType], body: response.body)
}

/// Goroutines that wait until `end`, each with the same name.
final class Waiters: Sendable {
    private let quit = Channel<Never>()
    private let all = WaitGroup()

    /// - Parameter depth: How many calls deep the goroutine of that number waits.
    init(_ count: Int, named name: String, depth: (Int) -> Int = { _ in 1 }) {
        let quit = quit
        for n in 0..<count {
            let depth = depth(n)
            all.go(name) { waitBelow(depth, quit) }
        }
    }

    func end() async throws {
        quit.close()
        try await all.wait()
    }
}

/// Each depth is another stack, also in release: there is something left to do after the call.
@inline(never)
private func waitBelow(_ depth: Int, _ quit: Channel<Never>) {
    if depth > 1 { waitBelow(depth - 1, quit) } else { quit.receive() }
    ended.add(1)
}

private let ended = SharedAtomic(0)

/// Asks until it is as it should be; the last answer in any case.
func eventually<T>(_ ask: () async throws -> T, _ isRight: (T) -> Bool) async throws -> T {
    for _ in 0..<600 {
        let answer = try await ask()
        if isRight(answer) { return answer }
        try await Task.sleep(for: .milliseconds(20))
    }
    return try await ask()
}
