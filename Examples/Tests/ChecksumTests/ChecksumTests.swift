import Foundation
import Testing

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The program as a user runs it, beside coreutils' own.
@Suite struct ChecksumTests {
    @Test func sumsAreThoseOfSha256sum() throws {
        let tree = try Tree()
        defer { tree.remove() }
        try tree.add("empty", Data())
        try tree.add("a-b", Data("one".utf8))
        try tree.add("a/c", Data("two".utf8))
        try tree.add("a/deep/er/still", Data(repeating: 7, count: 3_000_000))
        try tree.add("with space", Data("three".utf8))
        try tree.add("with\nnewline and \\", Data("four".utf8))
        try tree.add("ümlaut", Data("five".utf8))
        for n in 0..<300 { try tree.add("many/\(n)", Data("\(n)".utf8)) }
        try FileManager.default.createSymbolicLink(atPath: tree.path + "/link", withDestinationPath: "empty")
        let expected = try run(
            "/bin/sh",
            [
                "-c", "LC_ALL=C; export LC_ALL; find \"$1\" -type f -print0 | sort -z | xargs -0 sha256sum", "sh",
                tree.path,
            ])
        for jobs in ["1", "2", "8"] {
            let ours = try run(checksum, [tree.path, "--jobs", jobs])
            #expect(ours.status == 0 && ours.errors.isEmpty, "\(ours.errors)")
            #expect(ours.output == expected.output)
        }
        let file = tree.path + ".sums"
        try Data(expected.output.utf8).write(to: URL(fileURLWithPath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }
        #expect(try run("/usr/bin/sha256sum", ["--quiet", "-c", file]).status == 0)
    }

    @Test func whatCannotBeReadIsReported() throws {
        let ending = try run(checksum, ["/nonexistent/directory"])
        #expect(ending.status == 1)
        #expect(ending.output.isEmpty)
        #expect(ending.errors.contains("/nonexistent/directory: No such file or directory"))
        #expect(try run(checksum, ["/dev/null"]).status == 1)
        #expect(try run(checksum, ["--jobs", "0", "."]).status == 64)
    }

    @Test func aFullDiskIsReported() throws {
        let ending = try run("/bin/sh", ["-c", "exec \"$1\" \"$2\" >/dev/full", "sh", checksum, #filePath])
        #expect(ending.status == 1)
        #expect(ending.errors.contains("No space left on device"))
    }

    @Test(arguments: [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)])
    func aSignalStopsIt(_ signal: Int32, _ status: Int32) throws {
        let tree = try Tree()
        defer { tree.remove() }
        try tree.add("big", Data())
        // Long to hash, and a hole on the disk.
        try #require(truncate(tree.path + "/big", 1 << 40) == 0)
        let ending = try run(checksum, [tree.path]) { process in
            Thread.sleep(forTimeInterval: 0.3)
            kill(process, signal)
        }
        #expect(ending.status == status)
        #expect(ending.errors == "checksum: interrupted\n")
    }

    @Test func aTerminalGetsABar() throws {
        let tree = try Tree()
        defer { tree.remove() }
        try tree.add("big", Data())
        try #require(truncate(tree.path + "/big", 400_000_000) == 0)
        let command = "TERM=xterm '\(checksum)' '\(tree.path)' >'\(tree.path).out'"
        defer { try? FileManager.default.removeItem(atPath: tree.path + ".out") }
        let script = "import pty,sys; sys.exit(pty.spawn(['/bin/sh','-c',sys.argv[1]]))"
        let ending = try run("/usr/bin/env", ["python3", "-c", script, command])
        #expect(ending.status == 0)
        #expect(ending.output.contains("\r\u{1B}[K"))
        #expect(try String(contentsOfFile: tree.path + ".out", encoding: .utf8).hasSuffix("/big\n"))
    }
}

/// A directory of its own for a test.
private struct Tree {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("checksum-\(UUID().uuidString)").path

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    func add(_ name: String, _ contents: Data) throws {
        let file = URL(fileURLWithPath: path + "/" + name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try contents.write(to: file)
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// The program that the build put beside the tests.
private let checksum = URL(
    fileURLWithPath: try! FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
)
.deletingLastPathComponent().appendingPathComponent("checksum").path

private struct Ending {
    let output: String
    let errors: String
    let status: Int32
}

/// Runs a program to its end; `meanwhile` gets its process id.
private func run(_ program: String, _ arguments: [String], meanwhile: (pid_t) -> Void = { _ in }) throws -> Ending {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let files = try ["out", "err"].map { name in
        let file = folder.appendingPathComponent(name)
        try Data().write(to: file)
        return file
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: files[0])
    process.standardError = try FileHandle(forWritingTo: files[1])
    try process.run()
    meanwhile(process.processIdentifier)
    process.waitUntilExit()
    return Ending(
        output: String(decoding: try Data(contentsOf: files[0]), as: UTF8.self),
        errors: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self), status: process.terminationStatus)
}
