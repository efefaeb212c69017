import ProgramRunner
import Testing

/// `Goroutine.leaks()`, in processes of their own: it looks at all that there is.
@Suite(.serialized) struct LeakTests {
    private func output(_ name: String, procs: Int = 2) throws -> String {
        let ending = try program("leaks-\(name)", environment: ["CSP_MAXPROCS": "\(procs)"])
        #expect(ending.status == 0 && !ending.bySignal && ending.errors == "", "\(ending)")
        return ending.output
    }

    @Test(arguments: [1, 2, 4, 16]) func theLeakyFunctionIsFound(_ procs: Int) throws {
        #expect(try output("leaky-function", procs: procs) == "found\n")
    }

    @Test(arguments: [1, 2, 4, 16]) func itsFixesAreNot(_ procs: Int) throws {
        #expect(try output("fixed-functions", procs: procs) == "[]\n")
    }

    @Test func onlyOnceNobodyCanWakeThem() throws {
        #expect(try output("once-they-are") == "[]\n[]\n[]\nfound\n")
    }

    @Test func whateverTheyWaitFor() throws {
        #expect(
            try output("of-every-kind")
                == "[condition deep deserted group left mutex nil-channel receive right select select-nothing semaphore "
                + "write-lock]\n")
    }

    @Test(arguments: [1, 2, 16]) func whatSomebodyHoldsIsNotReported(_ procs: Int) throws {
        #expect(try output("none-that-are-held", procs: procs) == "[]\n")
    }

    @Test(arguments: [1, 2, 4]) func nothingIsReportedWronglyBesideOthers(_ procs: Int) throws {
        #expect(try output("under-load", procs: procs) == "found\n")
    }

    @Test func aGoroutineMaySearch() throws { #expect(try output("from-a-goroutine") == "found\n") }

    @Test func aHundredThousand() throws { #expect(try output("many") == "found\n") }

    @Test func theyPrintAsADumpDoes() throws {
        let text = try output("as-text")
        #expect(text.hasPrefix("goroutine "))
        #expect(text.contains(/"leaky[34]" \[chan send(, [0-9]+s)?\]:\n/))
        #expect(text.contains("\ncreated by test_programs.leakyFunction(_:) in a thread outside\n\t"))
        #expect(try output("none") == "no leaked goroutines true\n")
    }

    @Test func whatPreventsItIsTold() throws {
        #expect(try output("without-memory") == "no search for leaked goroutines: out of memory\n")
    }
}
