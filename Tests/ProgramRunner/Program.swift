import Foundation

/// What a test program printed and how it ended.
package struct Ending: Sendable {
    package let output: String
    package let errors: String
    package let status: Int32
    package let bySignal: Bool

    /// The number behind `name` on a line of the output; throws what there was when there is none.
    package func number(_ name: String) throws -> Int {
        let line = output.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        guard let line, let number = Int(line.dropFirst(name.count + 1)) else {
            throw MissingNumber(name: name, ending: self)
        }
        return number
    }
}

private struct MissingNumber: Error {
    let name: String
    let ending: Ending
}

/// Runs `test-programs NAME`, or another such program with more arguments, which the build puts beside the tests.
package func program(
    _ arguments: String..., of executable: String = "test-programs", environment: [String: String] = [:]
) throws -> Ending {
    let process = Process()
    process.executableURL = URL(
        fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    )
    .deletingLastPathComponent().appendingPathComponent(executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
        .merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }.merging(environment) { $1 }
    // Files take any amount without somebody to read them meanwhile.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let files = try ["out", "err"].map { name in
        let file = folder.appendingPathComponent(name)
        try Data().write(to: file)
        return file
    }
    process.standardOutput = try FileHandle(forWritingTo: files[0])
    process.standardError = try FileHandle(forWritingTo: files[1])
    try process.run()
    process.waitUntilExit()
    return Ending(
        output: try String(contentsOf: files[0], encoding: .utf8),
        errors: try String(contentsOf: files[1], encoding: .utf8),
        status: process.terminationStatus, bySignal: process.terminationReason == .uncaughtSignal)
}
