import ArgumentParser
import CSP
import CSPNet
import Foundation
import Servers

@main
struct Net: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "net",
        abstract: "Servers and clients with a goroutine for each connection. Ctrl-C ends each in good order.",
        subcommands: [Echo.self, Load.self, Chat.self, Proxy.self, Scan.self])

    /// Runs `body` in a goroutine, with a context that Ctrl-C ends.
    static func untilInterrupted(_ body: sending @escaping (Context) throws -> Void) throws {
        let (context, stop) = Context.notify(on: [SIGINT, SIGTERM])
        defer { stop() }
        try Goroutine.run { try body(context) }
    }
}

struct Echo: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Sends back whatever comes.")

    @Option(help: "The port to listen at; 0: any that is free.")
    var port: UInt16 = 0

    func run() throws {
        try Net.untilInterrupted { [port] context in
            let server = try EchoServer(host: "127.0.0.1", port: port)
            print("listening at \(server.address)")
            try server.run(in: context)
        }
    }
}

struct Load: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sends messages to an echo server over many connections, and tells how fast they come back.")

    @Option(help: "An echo server's port on this machine; without it, one is started.")
    var port: UInt16?

    @Option(name: [.short, .long], help: "How many connections.")
    var connections = 64

    @Option(name: [.short, .long], help: "Bytes in each message.")
    var size = 64

    @Option(help: "For how many seconds.")
    var seconds = 5

    func validate() throws {
        guard (1...100_000).contains(connections) else {
            throw ValidationError("--connections takes a number from 1 to 100000.")
        }
        guard (1...(1 << 20)).contains(size) else { throw ValidationError("--size takes a number from 1 to 1048576.") }
        guard seconds > 0 else { throw ValidationError("--seconds takes a positive number.") }
    }

    func run() throws {
        let (port, connections, size, seconds) = (port, connections, size, seconds)
        try Net.untilInterrupted { context in
            try withGoroutines(in: context) { group in
                let own = port == nil ? try EchoServer(host: "127.0.0.1", port: 0) : nil
                let (context, stop) = group.context.withCancel()
                if let own { group.go { try own.run(in: context) } }
                var load = EchoLoad(address: own?.address ?? .ip(.loopback, port: port!))
                load.connections = connections
                load.messageSize = size
                load.duration = .seconds(seconds)
                let report = load.run(in: context)
                stop()
                print(report.text)
                if let failure = report.failures.first { print("the first failure: \(failure)") }
                if report.messages == 0 { throw ExitCode(1) }
            }
        }
    }
}

struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "A room in which each one's lines go to all others; come in by 'nc 127.0.0.1 PORT'.")

    @Option(help: "The port to listen at; 0: any that is free.")
    var port: UInt16 = 0

    func run() throws {
        try Net.untilInterrupted { [port] context in
            let server = try ChatServer(host: "127.0.0.1", port: port)
            print("listening at \(server.address)")
            try server.run(in: context)
        }
    }
}

struct Proxy: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Passes connections on to another server.")

    @Argument(help: "The other server's name or address.")
    var host: String

    @Argument(help: "Its port.")
    var port: UInt16

    @Option(help: "The port to listen at; 0: any that is free.")
    var listen: UInt16 = 0

    @Option(help: "Connections at a time; more wait.")
    var limit = 1000

    @Option(help: "Seconds after which a silent connection is ended.")
    var idle = 60

    func validate() throws {
        guard limit > 0, idle > 0 else { throw ValidationError("--limit and --idle take positive numbers.") }
    }

    func run() throws {
        let (host, port, listen, limit, idle) = (host, port, listen, limit, idle)
        try Net.untilInterrupted { context in
            var proxy = try TCPProxy(listening: listen, to: host, port: port)
            proxy.limits.connections = limit
            proxy.limits.idle = .seconds(idle)
            print("listening at \(proxy.address)")
            try proxy.run(in: context) { FileHandle.standardError.write(Data("\($0)\n".utf8)) }
        }
    }
}

struct Scan: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Looks which ports of a machine take connections; only of one that is yours to look at.")

    @Argument(help: "The machine's name or address.")
    var host = "localhost"

    @Option(help: "The first port.")
    var from: UInt16 = 1

    @Option(help: "The last port.")
    var to: UInt16 = 1024

    @Option(name: [.short, .long], help: "Ports to look at at the same time.")
    var workers = 128

    @Option(name: [.short, .long], help: "Milliseconds to wait for an answer.")
    var timeout = 1000

    func validate() throws {
        guard from <= to else { throw ValidationError("The first port comes after the last.") }
        guard (1...10_000).contains(workers) else { throw ValidationError("--workers takes a number from 1 to 10000.") }
        guard timeout > 0 else { throw ValidationError("--timeout takes a positive number.") }
    }

    func run() throws {
        var scan = PortScan(host: host, ports: from...to)
        scan.workers = workers
        scan.timeout = .milliseconds(timeout)
        let showsProgress = isatty(STDERR_FILENO) == 1
        try Net.untilInterrupted { [scan] context in
            let total = scan.ports.count
            let open = try scan.run(in: context) { finished in
                guard showsProgress else { return }
                let bar = String(repeating: "█", count: finished * 30 / total)
                let text = "\r" + bar.padding(toLength: 30, withPad: "·", startingAt: 0) + " \(finished) of \(total)"
                FileHandle.standardError.write(Data(text.utf8))
            }
            if showsProgress { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
            for port in open { print(port) }
        }
    }
}
