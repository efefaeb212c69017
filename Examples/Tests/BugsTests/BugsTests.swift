import Bugs
import CSP
import CSPTesting
import Foundation
import Testing

/// The bugs of docs/finding-bugs.md are found, their mends are not, and what the chapter shows is what the tools say.
@Suite(.timeLimit(.minutes(2))) struct BugsTests {
    private func show(_ name: String) throws -> (output: String, errors: String, status: Int32) {
        let process = Process(), output = Pipe(), errors = Pipe()
        // Beside the bundle of the tests.
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("show-bug")
        process.arguments = [name]
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let read = { (pipe: Pipe) in String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
        let texts = (read(output), read(errors))
        process.waitUntilExit()
        return (texts.0, texts.1, process.terminationStatus)
    }

    /// Without what differs from machine to machine: numbers, and where the files are.
    private func shapes(_ text: String) -> Set<String> {
        Set(
            text.split(separator: "\n").map { line in
                let last = line.split(separator: "/").last ?? line
                return last.filter { !$0.isNumber && !$0.isWhitespace && !"abcdefx+".contains($0) }
            }.filter { !$0.isEmpty })
    }

    private static let chapter = Result {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../..")
        return try String(contentsOf: folder.appendingPathComponent("docs/finding-bugs.md"), encoding: .utf8)
    }

    @Test(arguments: ["deadlock", "leak", "order"]) func theChapterShowsWhatIsSaid(_ name: String) throws {
        let ending = try show(name)
        let missing = shapes(ending.output + ending.errors).subtracting(shapes(try Self.chapter.get()))
        #expect(missing.isEmpty, "\(ending.output)\(ending.errors)")
    }

    @Test func whatIsFound() throws {
        let deadlock = try show("deadlock"), leak = try show("leak"), order = try show("order")
        #expect(
            deadlock.status == 2 && deadlock.errors.hasPrefix("fatal error: all goroutines are asleep - deadlock!\n"))
        #expect(leak.output.contains(" \"ask\" [chan send]:\n"))
        #expect(order.output.hasPrefix("explore: all goroutines wait for each other: deadlock\n"))
        #expect(try show("time").output == "15.0 seconds\n")
    }

    @Test func theMendsAreNot() throws {
        #expect(try show("race-mended").output == "200\n")
        #expect(try show("deadlock-mended").output == "14\n")
        #expect(try show("leak-mended").output == "no leaked goroutines\n")
        #expect(try show("order-mended").output == "nothing found\n")
        #expect(try show("time-mended").output == "10.0 seconds\n")
    }

    @Test(.noLeakedGoroutines) func everybodyReturns() { _ = firstAnswerOfAll([{ 1 }, { 2 }, { 3 }]) }
}
