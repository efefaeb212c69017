import ArgumentParser
import CSP
import Foundation
import ManyRequests

@main
struct FetchMany: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch-many",
        abstract: "Sends ten thousand requests from as many goroutines, some at a time, and shows how long they took.",
        discussion: """
            Without --url it starts a web server of its own on the loopback interface. On a terminal, a progress bar is shown on \
            standard error. Ctrl-C ends it early.

            Exit status: 0 when every request was answered, 1 otherwise.
            """)

    @Option(name: [.short, .long], help: "How many requests.")
    var count = 10_000

    @Option(name: [.short, .long], help: "How many at the same time.")
    var limit = 64

    @Option(name: [.short, .long], help: "How many milliseconds each may take.")
    var timeout = 2000

    @Option(help: "Where to, instead of a server of its own.")
    var url: String?

    func validate() throws {
        guard count > 0 else { throw ValidationError("--count takes a positive number.") }
        guard (1...10_000).contains(limit) else { throw ValidationError("--limit takes a number from 1 to 10000.") }
        guard timeout > 0 else { throw ValidationError("--timeout takes a positive number.") }
    }

    func run() throws {
        let (context, stop) = Context.notify(on: [SIGINT, SIGTERM])
        defer { stop() }
        let server = url == nil ? try LocalServer() : nil
        defer { server?.stop() }
        let requests = ManyRequests(
            url: url ?? server!.url, count: count, limit: limit, timeout: .milliseconds(timeout))
        let showsProgress = isatty(STDERR_FILENO) == 1
        let total = count
        let report = try requests.run(in: context) { finished in
            guard showsProgress else { return }
            let bar = String(repeating: "█", count: finished * 30 / total)
            let text = "\r" + bar.padding(toLength: 30, withPad: "·", startingAt: 0) + " \(finished) of \(total)"
            FileHandle.standardError.write(Data(text.utf8))
        }
        if showsProgress { FileHandle.standardError.write(Data("\n".utf8)) }
        print(report.text)
        if let server { print("connections used: \(server.connectionCount)") }
        if report.answered < count { throw ExitCode(1) }
    }
}
