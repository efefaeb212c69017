package import CSP
package import CSPNet

/// A room in which each one's lines go to all others.
///
/// One goroutine, the room, knows who is there; the others talk to it over a channel, and so nothing is shared that would need a lock. Each guest has a goroutine that
/// reads lines and one that writes what comes out of the guest's own channel. Who is too slow to take what the others say is shown out: the channel has a limit, and
/// nobody waits for anybody.
package struct ChatServer: Sendable {
    private let listener: TCPListener
    private let events = Channel<Event>()
    /// Where it listens.
    package var address: SocketAddress { listener.address }

    /// Lines that a guest may be behind.
    private static let patience = 256
    private static let longestName = 20
    private static let longestLine = 1000

    package init(host: String?, port: UInt16) throws { listener = try TCPListener(host: host, port: port) }

    private enum Event: Sendable {
        /// Answers whether the name was free.
        case join(String, Channel<String>, answer: Channel<Bool>)
        case line(String, from: String)
        case leave(String)
    }

    /// Until `context` is done; then guests are told, and have a second to go.
    package func run(in context: Context) throws {
        let room = WaitGroup()
        room.go("chat room") { runRoom(until: context) }
        defer {
            events.close()
            room.wait()
        }
        try listener.serve(in: context, grace: .seconds(1)) { connection in
            // An error is a guest who has gone.
            try? serve(connection)
        }
    }

    private func runRoom(until context: Context) {
        var guests: [String: Channel<String>] = [:]
        func tellAll(_ line: String, but one: String? = nil) {
            for (name, channel) in guests where name != one {
                if channel.trySend(line) { continue }
                guests[name] = nil
                channel.close()
                tellAll("* \(name) was too slow")
            }
        }
        func close() {
            for channel in guests.values { channel.close() }
            guests = [:]
        }
        var isOpen = true
        while true {
            var event: Event?
            do {
                try select {
                    Receive(events) { event = $0 }
                    // Once only: guests who are leaving still have to be heard.
                    Canceled(isOpen ? context : .background)
                }
            } catch {
                isOpen = false
                tellAll("* the server is going down")
                close()
                continue
            }
            switch event {
            case .join(let name, let channel, let answer):
                let isFree = isOpen && guests[name] == nil
                answer <- isFree
                if !isFree { continue }
                let others = guests.keys.sorted().joined(separator: ", ")
                guests[name] = channel
                _ = channel.trySend(others.isEmpty ? "* nobody else is here" : "* here are: \(others)")
                tellAll("* \(name) has come", but: name)
            case .line(let text, let name):
                if guests[name] != nil { tellAll("\(name): \(text)", but: name) }
            case .leave(let name):
                guard let channel = guests.removeValue(forKey: name) else { continue }
                channel.close()
                tellAll("* \(name) has gone")
            case nil:
                return close()
            }
        }
    }

    private func serve(_ connection: TCPConnection) throws {
        let reader = BufferedReader(connection)
        let lines = Channel<String>(capacity: Self.patience)
        guard let name = try register(connection, reader, lines) else { return }
        let writer = WaitGroup()
        writer.go("chat writer") {
            for line in lines where (try? connection.write(line + "\n")) == nil { break }
            // The room has closed the channel, or the guest is gone: reading ends as well.
            connection.close()
        }
        defer {
            events <- .leave(name)
            writer.wait()
        }
        while let line = try reader.readLine(limit: Self.longestLine) {
            if line == "/quit" { break }
            if !line.isEmpty { events <- .line(line, from: name) }
        }
    }

    /// Asks until a name is free. Nil if the guest would rather go.
    private func register(
        _ connection: TCPConnection, _ reader: BufferedReader, _ lines: Channel<String>
    ) throws -> String? {
        try connection.write("Your name?\n")
        while let name = try reader.readLine(limit: Self.longestLine) {
            guard (1...Self.longestName).contains(name.count), name.allSatisfy({ $0.isLetter || $0.isNumber }) else {
                try connection.write("Letters and digits, up to \(Self.longestName). Your name?\n")
                continue
            }
            let answer = Channel<Bool>(capacity: 1)
            events <- .join(name, lines, answer: answer)
            if <-answer == true { return name }
            try connection.write("That one is here already. Your name?\n")
        }
        return nil
    }
}
