import Foundation
import ProgramRunner
import Testing

/// Programs that must die: the first line on stderr, and the goroutine that it happened in.
@Suite struct FatalTests {
    @Test(arguments: [
        ("send-on-closed", "panic: send on closed channel"),
        ("try-send-on-closed", "panic: send on closed channel"),
        ("select-send-on-closed", "panic: send on closed channel"),
        ("closed-under-a-sender", "panic: send on closed channel"),
        ("close-of-closed", "panic: close of closed channel"),
        ("negative-wait-group", "panic: sync: negative WaitGroup counter"),
        ("unlock-of-unlocked-mutex", "fatal error: sync: unlock of unlocked mutex"),
        ("unlocked-twice", "fatal error: sync: unlock of unlocked mutex"),
        ("unlock-within-with-lock", "fatal error: sync: unlock of unlocked mutex"),
        ("semaphore-released-too-often", "panic: semaphore: released more than held"),
        ("semaphore-of-less-than-nothing", "panic: semaphore: negative weight"),
        ("semaphore-acquired-backwards", "panic: semaphore: negative weight"),
        ("map-written-by-two", "fatal error: concurrent map writes"),
        ("map-read-beside-a-writer", "fatal error: concurrent map read and map write"),
        ("map-read-by-two", "fatal error: concurrent map read and map write"),
        ("map-iterated-beside-a-writer", "fatal error: concurrent map iteration and map write"),
        ("more-workers-than-the-limit", "panic: withGoroutines: 4 workers do not fit into the limit of 2"),
        ("ticker-of-zero", "panic: non-positive interval for NewTicker"),
        ("ticker-reset-to-zero", "panic: non-positive interval for Ticker.Reset"),
        ("negative-capacity", "panic: makechan: size out of range"),
        ("stack-of-zero", "panic: go: stack size 0 out of range (1 byte to 1 GiB)"),
        ("no-processors", "panic: Scheduler.maxProcs must be at least 1, not 0"),
    ])
    func saysWhatHappened(_ name: String, _ firstLine: String) throws {
        let ending = try program(name)
        #expect(ending.bySignal)
        #expect(ending.errors.split(separator: "\n").first.map(String.init) == firstLine)
    }

    @Test func namesTheGoroutineOfAPanic() throws {
        let ending = try program("closed-under-a-sender")
        #expect(ending.errors.contains("\"sender\" [running]:\ncreated by "))
    }

    @Test func namesTheGoroutineOfATrap() throws {
        let ending = try program("trap")
        #expect(ending.bySignal)
        #expect(ending.errors.contains("stepped on a mine"))
        #expect(ending.errors.contains("\"boom\" [running]:\ncreated by "))
    }

    @Test func aTrapOutsideNamesNone() throws {
        let ending = try program("trap-outside")
        #expect(ending.bySignal)
        #expect(!ending.errors.contains("[running]"))
    }

    @Test(arguments: ["auto", "mprotect"])
    func anOverflowHitsTheGuard(_ stackGuard: String) throws {
        let ending = try program("stack-overflow", environment: ["CSP_STACK_GUARD": stackGuard])
        #expect(ending.bySignal)
        #expect(ending.errors.contains("fatal error: goroutine stack overflow"))
        #expect(ending.errors.contains("pass more to go(stackSize:), say 1048576."))
        #expect(ending.errors.contains("\"deep\" [running]:\n"))
        #expect(ending.errors.contains("depth"))
        #expect(ending.errors.contains(" frames omitted...\n"))
        #expect(ending.errors.contains("csp_goroutine_entry\n"))
        #expect(ending.errors.contains("\ncreated by "))
    }

    @Test func anOverflowInsideMallocIsReported() throws {
        for _ in 0..<5 {
            let ending = try program("stack-overflow-in-malloc")
            #expect(ending.bySignal)
            #expect(ending.errors.contains("fatal error: goroutine stack overflow"))
            #expect(ending.errors.contains("\ncreated by "))
        }
    }

    @Test func anOverflowReachesAProgramsOwnHandler() throws {
        let ending = try program("stack-overflow-with-own-handler")
        #expect(!ending.bySignal && ending.status == 42, "\(ending)")
        #expect(ending.errors.contains("fatal error: goroutine stack overflow"))
    }

    @Test(arguments: [("null-in-a-goroutine", SIGSEGV), ("abort-in-a-goroutine", SIGABRT)])
    func aFaultInAGoroutineNamesIt(_ name: String, _ signal: Int32) throws {
        let ending = try program(name)
        #expect(ending.bySignal && ending.status == signal)
        #expect(ending.errors.contains("[running]:\ncreated by "))
        #expect(!ending.errors.contains("overflow"))
    }

    @Test func aFaultOnAThreadIsUnchanged() throws {
        let ending = try program("null-outside")
        #expect(ending.bySignal && ending.status == SIGSEGV)
        #expect(ending.errors.isEmpty)
    }

    @Test(arguments: ["trap", "null-in-a-goroutine", "abort-in-a-goroutine", "stack-overflow", "null-outside"])
    func swiftsBacktracerStillReports(_ name: String) throws {
        let ending = try program(
            name, environment: ["SWIFT_BACKTRACE": "enable=yes,color=no,interactive=no,output-to=stderr"])
        #expect(ending.bySignal)
        let report = ending.errors.range(of: "Program crashed: ")
        #expect(report != nil)
        // Ours comes first.
        if let report, name != "null-outside" {
            #expect(ending.errors[..<report.lowerBound].contains("[running]:\n"))
        }
    }

    @Test(arguments: ["overlapping-access", "overlapping-access-after-a-park"])
    func anOverlappingAccessTraps(_ name: String) throws {
        let ending = try program(name)
        #expect(ending.bySignal)
        #expect(ending.errors.contains("overlapping accesses") || ending.errors.contains("Simultaneous accesses"))
    }

    @Test func mainReturningEndsTheProcess() throws {
        let ending = try program("main-returns")
        #expect(!ending.bySignal && ending.status == 0)
        #expect(ending.output == "main returns\n")
    }

    @Test(arguments: ["own-handler-before", "own-handler-after", "own-handler-in-a-goroutine"])
    func aProgramsOwnFaultHandlerStillRuns(_ name: String) throws {
        let ending = try program(name)
        #expect(!ending.bySignal && ending.status == 42, "\(ending)")
    }

    @Test(arguments: ["0", "-1", "many"])
    func aWrongKnobIsRefused(_ value: String) throws {
        let ending = try program("uses-the-runtime", environment: ["CSP_MAXPROCS": value])
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("fatal error: CSP_MAXPROCS=\(value): expected a whole number from 1\n"))
    }
}
