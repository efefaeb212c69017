import CSP
import CSPNet
import Foundation
import ProgramRunner
import Testing

/// `csp-top` as a process, against a program of its own.
@Suite(.timeLimit(.minutes(5)), .serialized) struct TopTests {
    @Test func printsALineForEachLook() throws {
        let running = try RunningProgram()
        let ending = try program("-n", "3", "-i", "0.1", "\(running.port)", of: "csp-top")
        #expect(ending.status == 0 && ending.errors.isEmpty)
        let lines = ending.output.split(separator: "\n")
        #expect(lines.count == 3)
        for line in lines {
            let words = line.split(separator: " ").dropFirst().map { $0.split(separator: "=", maxSplits: 1) }
            #expect(words.allSatisfy { $0.count == 2 })
            let values = Dictionary(words.map { ($0[0], $0[1]) }) { $1 }
            #expect(Int(values["goroutines"] ?? "") ?? 0 >= 250, "\(line)")
            #expect(Int(values["chan_receive"] ?? "") ?? 0 >= 100 && Int(values["IO_wait"] ?? "") ?? 0 >= 50, "\(line)")
            #expect(values["ps"] != nil && values["latency_p99"] != nil)
        }
        #expect(running.end() == 0)
    }

    @Test func helpAndMistakes() throws {
        let help = try program("--help", of: "csp-top")
        #expect(help.status == 0 && help.output.contains("csp-top 6060") && help.output.contains("--interval"))
        for arguments in [
            ["-n1", "nonsense"], ["-n1", "0"], ["-n1", "65536"], ["-n1", ":6060"], ["-n1", "::1:6060"],
            ["6060", "-n0"],
            ["6060", "-i0"], ["6060", "6061"],
        ] {
            let ending = try program(arguments[0], arguments[1], of: "csp-top")
            #expect(ending.status == 64 && ending.errors.contains("Error: "), "\(arguments): \(ending.errors)")
        }
    }

    @Test func saysWhenNothingListens() throws {
        // A port that was free a moment ago.
        let listener = try TCPListener(.ip(.loopback, port: 0))
        guard case .ip(_, let port) = listener.address else { return }
        listener.close()
        let ending = try program("\(port)", of: "csp-top")
        #expect(ending.status == 1 && ending.output.isEmpty)
        #expect(ending.errors.hasPrefix("csp-top: nothing answers at 127.0.0.1:\(port): "))
        #expect(ending.errors.contains("DebugServer.start(port: \(port))"))
    }

    @Test func saysWhenItIsNoDebugServer() throws {
        for answer in [
            "220 mail.example\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "",
        ] {
            let listener = try TCPListener(.ip(.loopback, port: 0))
            guard case .ip(_, let port) = listener.address else { return }
            let served = WaitGroup()
            served.go("no debug server") {
                guard let connection = try? listener.accept() else { return }
                _ = try? connection.read(upTo: 4096)
                try? connection.write(answer)
                connection.close()
            }
            let ending = try program("\(port)", of: "csp-top")
            served.wait()
            listener.close()
            #expect(ending.status == 1 && ending.output.isEmpty, "\(answer)")
            #expect(ending.errors.contains("127.0.0.1:\(port)"), "\(ending.errors)")
        }
    }

    @Test func endsWhenTheProgramDoes() throws {
        let running = try RunningProgram()
        let screen = try Screen(["-i", "0.1", "\(running.port)"])
        #expect(screen.wait(for: "goroutines"))
        running.kill()
        #expect(screen.end() == 1)
        #expect(screen.text.contains("nothing answers at") && screen.text.contains("\u{1b}[?1049l"))
    }

    @Test func ctrlCRestoresTheTerminal() throws {
        let running = try RunningProgram()
        for (key, isSignal) in [("\u{3}", true), ("q", false)] {
            let screen = try Screen(["-i", "0.1", "\(running.port)"])
            #expect(screen.wait(for: "CREATED BY"), "\(screen.text)")
            for word in ["debug-programs, process \(running.processID)", "chan receive", "IO wait", "SWITCHES/S"] {
                #expect(screen.text.contains(word), "\(word)")
            }
            #expect(!screen.isLineByLine)
            screen.press(key)
            #expect(screen.end() == 0, "\(isSignal)")
            #expect(
                screen.text.hasPrefix("\u{1b}[?1049h\u{1b}[?25l") && screen.text.hasSuffix("\u{1b}[?25h\u{1b}[?1049l"))
            #expect(screen.isLineByLine)
        }
        #expect(running.end() == 0)
    }
}

/// `csp-top` on a terminal of its own.
private final class Screen {
    // SAFETY: (whole type) the system calls get memory of ours that lives through them.
    private let process = Process()
    private let terminal: Int32
    /// Kept open, so that the terminal stays when the program has ended.
    private let line: FileHandle
    private var bytes: [UInt8] = []

    struct NoTerminal: Error {}

    init(_ arguments: [String]) throws {
        // As posix_openpt, unlockpt and ptsname do, which Swift's Glibc does not have.
        terminal = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var unlocked: Int32 = 0, number: Int32 = 0
        guard terminal >= 0, unsafe ioctl(terminal, 0x4004_5431, &unlocked) == 0,
            unsafe ioctl(terminal, 0x8004_5430, &number) == 0
        else { throw NoTerminal() }
        let file = unsafe open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard file >= 0 else { throw NoTerminal() }
        var size = winsize(ws_row: 60, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0)
        guard unsafe ioctl(file, UInt(TIOCSWINSZ), &size) == 0 else { throw NoTerminal() }
        line = FileHandle(fileDescriptor: file, closeOnDealloc: true)
        // `setsid --ctty` makes it the process's own terminal, so that Ctrl-C is a signal to it.
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
        process.arguments = ["--ctty", "--wait", try folder.appendingPathComponent("csp-top").path] + arguments
        process.standardInput = line
        process.standardOutput = line
        process.standardError = line
        try process.run()
    }

    deinit { close(terminal) }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// As a shell wants it: whole lines, and what is typed is seen.
    var isLineByLine: Bool {
        var settings = termios()
        return unsafe tcgetattr(line.fileDescriptor, &settings) == 0
            && settings.c_lflag & tcflag_t(ICANON | ECHO) == tcflag_t(ICANON | ECHO)
    }

    /// Reads until `word` has come; false when it does not within a minute.
    func wait(for word: String) -> Bool {
        for _ in 0..<600 where !text.contains(word) { read(within: 100) }
        return text.contains(word)
    }

    func press(_ keys: String) {
        var keys = keys
        keys.withUTF8 { _ = unsafe write(terminal, $0.baseAddress!, $0.count) }
    }

    /// The status with which it ends.
    func end() -> Int32 {
        for _ in 0..<3_000 where process.isRunning { read(within: 20) }
        if process.isRunning {
            Issue.record("csp-top has not ended: \(text.suffix(500))")
            // The signal that it cannot ignore goes to the process itself, through `setsid`'s only child.
            _ = try? Process.run(
                URL(fileURLWithPath: "/usr/bin/pkill"), arguments: ["-KILL", "-P", "\(process.processIdentifier)"])
        }
        process.waitUntilExit()
        while read(within: 0) {}
        return process.terminationStatus
    }

    @discardableResult
    private func read(within milliseconds: Int32) -> Bool {
        var wanted = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&wanted, 1, milliseconds) > 0, wanted.revents & Int16(POLLIN) != 0 else { return false }
        var some = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe Foundation.read(terminal, &some, some.count)
        bytes += some.prefix(max(0, count))
        return count > 0
    }
}
