import Foundation
import Testing

/// The troubles of docs/inspecting.md are seen, their mends are not, and what the chapter shows is what the tools say.
@Suite(.timeLimit(.minutes(2))) struct TroublesTests {
    private func show(_ name: String) throws -> String {
        let process = Process(), output = Pipe()
        // Beside the bundle of the tests.
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("show-trouble")
        process.arguments = [name]
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return text
    }

    private static let chapter = Result {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../..")
        return try String(contentsOf: folder.appendingPathComponent("docs/inspecting.md"), encoding: .utf8)
    }

    /// The functions that a profile names as text, in order.
    private func functions(_ text: String) -> [String] {
        text.split(separator: "\n").filter { $0.hasPrefix("#\t0x") }.compactMap {
            let parts = $0.split(separator: "\t")
            return parts.count > 2 ? String(parts[2]) : nil
        }
    }

    @Test(arguments: ["leak", "lock"]) func theChapterShowsWhatIsSaid(_ name: String) throws {
        let said = functions(try show(name)), chapter = functions(try Self.chapter.get())
        // The first entry, which is what it is about.
        let first = said.prefix(2)
        #expect(first.count == 2 && first.allSatisfy(chapter.contains), "\(said)")
    }

    @Test func theLeakIsTheLargestGroup() throws {
        let text = try show("leak")
        let first = try #require(text.split(separator: "\n").dropFirst().first)
        #expect(first.hasPrefix("50 @ "), "\(text)")
        #expect(text.contains("showNews"))
        #expect(!(try show("leak-mended")).contains("showNews"))
    }

    @Test func theSlowLockIsSeenFromWhoHoldsIt() throws {
        #expect(try show("lock").contains("Troubles.Catalog.price(of:)"))
        let milliseconds = { (text: String) -> Int in
            text.split(separator: " ").filter { $0.hasSuffix("ns") }.compactMap { Int($0.dropLast(2)) }.reduce(0, +)
                / 1_000_000
        }
        // Seven wait for the eighth, 160 times for 5 ms; without the lock nearly nobody does.
        let before = milliseconds(try show("lock")), after = milliseconds(try show("lock-mended"))
        #expect(before > 1000 && after < before / 10, "\(before) ms, \(after) ms")
    }

    @Test func theStallIsSeenWithWhoEndsIt() throws {
        let lines = try show("stall").split(separator: "\n")
        // Two flushes.
        for line in lines.prefix(2) { #expect(line.contains("chan send") && line.hasSuffix("logger"), "\(lines)") }
        #expect(!(try show("stall-mended")).contains("chan send"))
        #expect(try Self.chapter.get().contains(": chan send until G"))
    }
}
