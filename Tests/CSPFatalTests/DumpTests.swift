import Foundation
import ProgramRunner
import Testing

/// What dumps show, each in a process of its own.
@Suite struct DumpTests {
    /// The paragraphs of a dump, each a goroutine, by name.
    private func goroutines(_ text: String) -> [String: String] {
        var found: [String: String] = [:]
        for paragraph in text.components(separatedBy: "\n\n") {
            let words = paragraph.split(separator: "\"", maxSplits: 2)
            if paragraph.hasPrefix("goroutine "), words.count == 3 { found[String(words[1])] = paragraph }
        }
        return found
    }

    @Test(arguments: [
        ("receiver", "chan receive"), ("sender", "chan send"), ("selector", "select"),
        ("hopeless", "select (no cases)"), ("sleeper", "sleep"), ("waiter", "sync.WaitGroup.Wait"),
        ("runner", "chan receive"), ("inner", "chan receive"), ("spinner", "running"), ("system call", "syscall"),
    ])
    func everyKindOfWaitHasItsName(_ name: String, _ state: String) throws {
        let ending = try Self.states.get()
        let shown = try #require(goroutines(ending.output)[name], "\(ending)")
        let withoutSeconds = shown.replacing(/, [0-9]+s\]:/, with: "]:")
        #expect(withoutSeconds.contains("\" [\(state)]:\n"))
        // The user's function is there, as caller or creator, and the runtime's own are not.
        #expect(shown.contains("startStates()") || name == "inner")
        for hidden in ["goroutineMain", "csp_", "runBody", "park(", "leave("] { #expect(!shown.contains(hidden)) }
    }

    private static let states = Result { try program("dump-states") }

    @Test func theProgramGoesOn() throws {
        let ending = try Self.states.get()
        #expect(!ending.bySignal && ending.status == 0)
        #expect(ending.output.hasSuffix("\ngoes on\n"))
        #expect(ending.errors == "")
    }

    @Test func whereItWaitsAndWhoCreatedIt() throws {
        let shown = goroutines(try Self.states.get().output)
        let sender = try #require(shown["sender"]), inner = try #require(shown["inner"])
        #expect(sender.contains("\ntest_programs.waitToSend(_:)\n\t"))
        #expect(sender.contains("\ncreated by test_programs.startStates() in a thread outside\n\t"))
        let runner = try #require(shown["runner"]).split(separator: " ")[1]
        #expect(inner.contains(" in goroutine \(runner)\n"))
        #if DEBUG
            #expect(sender.contains("/DumpPrograms.swift:"))
            #expect(sender.contains("]:\nCSP.Channel.send(_:)\n"))
        #endif
    }

    @Test func aRunningGoroutinesStackIsSeen() throws {
        let shown = try #require(goroutines(try Self.states.get().output)["spinner"])
        #expect(shown.contains("test_programs.spin()\n"))
    }

    @Test func theAskerComesFirstAndSecondsAreShown() throws {
        let ending = try program("dump-times")
        #expect(ending.output.hasPrefix("goroutine "))
        let first = ending.output.prefix { $0 != "\n" }
        #expect(first.hasSuffix(" \"asker\" [running]:"), "\(ending)")
        let shown = goroutines(ending.output)
        #expect(try #require(shown["asker"]).contains("static CSP.Goroutine.dump()\n"))
        let patient = try #require(shown["patient"])
        #expect(patient.contains(/\[chan receive, [1-9][0-9]*s\]:/))
        #expect(try #require(shown["fresh"]).contains("[runnable]:\ncreated by "))
    }

    @Test func aDeepStackIsCut() throws {
        let shown = try #require(goroutines(try program("dump-deep").output)["deep"])
        #expect(shown.contains(/\n\.\.\.9[0-9]{3} frames omitted\.\.\.\n/))
        #expect(shown.split(separator: "\n").count < 250)
    }

    @Test(arguments: ["dump-memory-first", "dump-memory"])
    func manyGoroutinesAreOneGroupInBoundedMemory(_ name: String) throws {
        let ending = try program(name)
        #expect(try ending.number("characters") < 100_000)
        // Symbol tables and debug information, but no 100,000 stacks.
        #expect(try ending.number("kilobytes") < 50_000)
    }

    @Test func systemCallsGoOn() throws {
        let ending = try program("dump-does-not-disturb")
        #expect(ending.output.contains("left 0\n"))
        #expect(ending.output.contains("poll 0\n"))
    }

    @Test(arguments: ["quit", "quit-busy", "quit-stuck", "quit-many"])
    func sigquitDumpsAndEndsWithStatus2(_ name: String) throws {
        let ending = try program(name)
        #expect(!ending.bySignal && ending.status == 2)
        #expect(ending.errors.hasPrefix("SIGQUIT: quit\n\n"))
        #expect(ending.errors.contains("created by "))
        if name == "quit-many" { #expect(ending.errors.contains("\n100000 goroutines [chan receive")) }
    }

    @Test func sigquitIsOursAlsoWithSwiftsBacktracer() throws {
        let ending = try program("quit", environment: ["SWIFT_BACKTRACE": "enable=yes,color=no,interactive=no"])
        #expect(!ending.bySignal && ending.status == 2)
        #expect(ending.errors.hasPrefix("SIGQUIT: quit\n\n"))
    }

    @Test(arguments: ["quit-own-handler-before", "quit-own-handler-after"])
    func aProgramsOwnSigquitHandlerWins(_ name: String) throws {
        let ending = try program(name)
        #expect(!ending.bySignal && ending.status == 42)
        #expect(ending.errors == "")
    }

    @Test func anIgnoredSigquitStaysIgnored() throws {
        #expect(try program("quit-ignored").output == "goes on\n")
    }

    @Test func sigquitEndsAForkedChild() throws {
        #expect(try program("quit-in-a-child").number("signal") == Int(SIGQUIT))
    }

    @Test func theDeadlockReport() throws {
        let ending = try program("deadlock-message")
        #expect(!ending.bySignal && ending.status == 2)
        #expect(ending.errors.hasPrefix("fatal error: all goroutines are asleep - deadlock!\n\ngoroutine "))
        #expect(ending.errors.contains("\"receiver\" [chan receive"))
    }
}
