import ArgumentParser
import CSP
import CSPDebug
import Foundation

@main
struct CSPTop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "csp-top",
        abstract: "Shows what the goroutines of a running program do, as top does for processes.",
        discussion: """
            The program must have called `try DebugServer.start(port: 6060)`, from the product CSPDebug. On a terminal a table is shown until Ctrl-C or q; into \
            a pipe or a file goes one line per interval.

              csp-top 6060
              csp-top -n 1 example.org:6060 | tr ' ' '\\n'
            """)

    @Option(name: [.customShort("i"), .long], help: "Seconds between two looks.")
    var interval = 1.0

    @Option(name: [.customShort("n"), .long], help: "How many looks; without end if not given.")
    var count: Int?

    @Argument(help: "The port of the debug server on this machine, or HOST:PORT.")
    var server: String

    mutating func validate() throws {
        guard interval >= 0.1, interval <= 86_400 else {
            throw ValidationError("The interval must be from 0.1 to 86400 seconds.")
        }
        if let count, count < 1 { throw ValidationError("The count must be at least 1.") }
        if StateClient(server) == nil {
            throw ValidationError(
                "\"\(server)\" is neither a port nor HOST:PORT, as 6060, example.org:6060 or [::1]:6060.")
        }
    }

    func run() throws {
        let client = StateClient(server)!
        // Whatever is wrong shows before the screen is taken.
        let first: DebugState
        do { first = try client.state(creators: creators) } catch { throw Self.ended(error.description) }
        if Terminal.isThere { try showTable(client, first) } else { try printLines(client, first) }
    }

    private var creators: Int { 20 }

    private static func ended(_ message: String) -> ExitCode {
        FileHandle.standardError.write(Data("csp-top: \(message)\n".utf8))
        return ExitCode(1)
    }

    private func printLines(_ client: StateClient, _ first: DebugState) throws {
        let signals = Signals.notify(SIGINT, SIGTERM)
        Terminal.unblock([SIGINT, SIGTERM])
        var snapshot = Snapshot(state: first, previous: nil, address: client.address), shown = 0
        while true {
            // Not buffered: who reads them wants to see each when it is made.
            try FileHandle.standardOutput.write(contentsOf: Data((snapshot.line + "\n").utf8))
            shown += 1
            if shown == count { return }
            var isOver = false
            select {
                Receive(signals) { _ in isOver = true }
                After(.seconds(interval)) {}
            }
            if isOver { return }
            do {
                let next = try client.state(creators: 0)
                snapshot = Snapshot(state: next, previous: snapshot.state, address: client.address)
            } catch { throw Self.ended(error.description) }
        }
    }

    private func showTable(_ client: StateClient, _ first: DebugState) throws {
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP]
        let signals = Signals.notify(wanted), keys = Terminal.keys()
        Terminal.unblock(wanted)
        var terminal = Terminal(), isOver = false
        var snapshot = Snapshot(state: first, previous: nil, address: client.address), shown = 1
        terminal.enter()
        defer { terminal.leave() }
        while true {
            let size = terminal.size
            terminal.show(snapshot.table(columns: size.columns, lines: size.lines))
            if shown == count { return }
            var signal: Int32?, isDue = false
            select {
                Receive(signals) { signal = $0 }
                Receive(keys) { isOver = $0 == UInt8(ascii: "q") }
                After(.seconds(interval)) { isDue = true }
            }
            if signal == SIGTSTP {
                terminal.leave()
                kill(getpid(), SIGSTOP)
                terminal.enter()
            } else if let signal, signal != SIGWINCH {
                return
            }
            if isOver { return }
            guard isDue else { continue }
            do {
                let next = try client.state(creators: creators)
                snapshot = Snapshot(state: next, previous: snapshot.state, address: client.address)
                shown += 1
            } catch {
                terminal.leave()
                throw Self.ended(error.description)
            }
        }
    }
}
