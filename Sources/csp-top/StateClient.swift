import CSP
import CSPDebug
import CSPNet
import Foundation

/// Asks a program's debug server for its state.
struct StateClient {
    let host: String
    let port: UInt16

    /// - Parameter text: "6060", "host:6060" or "[::1]:6060".
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else {
            guard let port = UInt16(text), port > 0 else { return nil }
            (self.host, self.port) = ("127.0.0.1", port)
            return
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let port = UInt16(text[text.index(after: colon)...]), port > 0, !host.isEmpty else { return nil }
        (self.host, self.port) = (String(host), port)
    }

    var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    struct Failure: Error {
        let description: String
    }

    /// Blocks until the answer is there, for half a minute at most.
    func state(creators: Int) throws(Failure) -> DebugState {
        let (context, cancel) = Context.background.withTimeout(.seconds(30))
        defer { cancel() }
        let connection: TCPConnection
        do { connection = try TCPConnection.dial(host: host, port: port, in: context) } catch {
            throw Failure(
                description: """
                    nothing answers at \(address): \(error)
                    Does the program call `DebugServer.start(port: \(port))`, and does it run?
                    """)
        }
        defer { connection.close() }
        do {
            try connection.write(
                "GET /debug/state?groups=0&creators=\(creators) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n",
                in: context)
            let body = try body(BufferedReader(connection), context)
            return try JSONDecoder().decode(DebugState.self, from: Data(body))
        } catch let failure as Failure {
            throw failure
        } catch let error as NetError {
            throw Failure(description: "no answer from \(address): \(error)")
        } catch {
            throw Failure(description: "what answers at \(address) is no debug server of this version: \(error)")
        }
    }

    private func body(_ reader: BufferedReader, _ context: Context) throws -> [UInt8] {
        guard let first = try reader.readLine(in: context), first.hasPrefix("HTTP/1.") else {
            throw Failure(description: "what answers at \(address) is no debug server")
        }
        let status = first.split(separator: " ").dropFirst().first ?? ""
        var length: Int?
        while let line = try reader.readLine(in: context), !line.isEmpty {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "content-length" {
                length = Int(parts[1].trimmingCharacters(in: .whitespaces))
            }
        }
        guard let length, (0...(64 << 20)).contains(length), let body = try reader.read(exactly: length, in: context)
        else {
            throw Failure(description: "the answer from \(address) is cut off")
        }
        guard status == "200" else {
            let text = String(decoding: body.prefix(500), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            throw Failure(description: "what answers at \(address) is no debug server: status \(status) \(text)")
        }
        return body
    }
}
