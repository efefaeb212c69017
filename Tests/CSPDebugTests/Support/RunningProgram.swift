import Foundation

/// `debug-programs` in a process of its own, until `end`.
final class RunningProgram {
    let port: Int
    private let process = Process()
    private let input = Pipe()

    struct NoPort: Error {
        let output: String
    }

    init(_ arguments: String..., environment: [String: String] = [:]) throws {
        let output = Pipe()
        process.executableURL = try folder.appendingPathComponent("debug-programs")
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var line = ""
        while !line.hasSuffix("\n"), let bytes = try output.fileHandleForReading.read(upToCount: 1), !bytes.isEmpty {
            line += String(decoding: bytes, as: UTF8.self)
        }
        guard let port = Int(line.dropLast()) else {
            process.terminate()
            process.waitUntilExit()
            throw NoPort(output: line)
        }
        self.port = port
    }

    var processID: Int32 { process.processIdentifier }

    /// Its standard input ends, and then it should.
    func end() -> Int32 {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        return process.terminationStatus
    }

    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}

/// Where the build puts programs, beside the tests.
var folder: URL {
    get throws {
        URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            .deletingLastPathComponent()
    }
}
