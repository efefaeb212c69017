import Foundation
import ProgramRunner
import Testing

/// Execution traces, each of a process of its own.
@Suite struct TraceTests {
    /// One of Chrome's trace events, as far as we look at it.
    struct Event: Decodable {
        var ph: String
        var name: String
        var pid: Int
        var tid: Int?
        var ts: Double?
        var dur: Double?
        var id: UInt64?
        var cat: String?
        var args: Arguments?

        struct Arguments: Decodable {
            var name: String?
            var then: String?
            var goroutine: Int?
        }
        var end: Double { ts! + (dur ?? 0) }
    }
    struct Trace: Decodable {
        struct Metadata: Decodable { var lostEvents: Int }
        var traceEvents: [Event]
        var metadata: Metadata

        func slices(_ pid: Int) -> [Event] { traceEvents.filter { $0.ph == "X" && $0.pid == pid } }
        /// The track's number of a goroutine whose label contains `text`.
        func goroutine(_ text: String) -> Int? {
            traceEvents.first { $0.name == "thread_name" && $0.pid == 2 && $0.args!.name!.contains(text) }?.tid
        }
    }

    /// Runs a program that writes a trace.
    private func trace(
        _ name: String, _ variable: String = "CSP_TEST_FILE", procs: Int = 2
    ) throws -> (trace: Trace, ending: Ending) {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("trace-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        let ending = try program(name, environment: [variable: file.path, "CSP_MAXPROCS": "\(procs)"])
        let bytes = try Data(contentsOf: file)
        return (try JSONDecoder().decode(Trace.self, from: bytes), ending)
    }

    /// No two slices of one track overlap. The file has three digits after the point.
    private func expectTracksInOrder(_ trace: Trace, _ pid: Int) {
        for (track, slices) in Dictionary(grouping: trace.slices(pid), by: { $0.tid! }) {
            let sorted = slices.sorted { ($0.ts!, $0.end) < ($1.ts!, $1.end) }
            for (first, second) in zip(sorted, sorted.dropFirst()) where first.end > second.ts! + 0.0015 {
                Issue.record("track \(pid).\(track): \(first) overlaps \(second)")
                return
            }
        }
    }

    @Test(arguments: [
        ("traced-work", "CSP_TRACE", 1), ("traced-work", "CSP_TRACE", 2), ("traced-work", "CSP_TRACE", 8),
    ])
    func aWholeRunIsTraced(_ name: String, _ variable: String, _ procs: Int) throws {
        let (trace, ending) = try trace(name, variable, procs: procs)
        #expect(!ending.bySignal && ending.status == 0 && ending.errors == "", "\(ending)")
        #expect(trace.metadata.lostEvents == 0)
        for pid in 1...3 { expectTracksInOrder(trace, pid) }
        let producer = try #require(trace.goroutine("producer"))
        let states = Set(trace.slices(2).filter { $0.tid == producer }.map(\.name))
        #expect(states.isSuperset(of: ["running", "runnable"]))
        let reasons = Set(trace.slices(2).map(\.name))
        #expect(reasons.isSuperset(of: ["chan receive", "sleep", "running", "runnable"]), "\(reasons)")
        // What has run on processors is what goroutines have run.
        let onProcessors = trace.slices(1).compactMap { $0.args?.goroutine }
        // One may be between the two as the trace ends.
        let running = Set(trace.slices(2).filter { $0.name == "running" }.map { $0.tid! })
        #expect(Set(onProcessors).subtracting(running).count <= 1)
        #expect(onProcessors.count >= 50)
        let others = Set(trace.traceEvents.filter { $0.pid != 2 }.map(\.name))
        // What depends on nobody's luck.
        #expect(others.isSuperset(of: ["wake", "timers", "hand-off"]), "\(others)")
        let ends = trace.slices(1).filter { $0.args?.then == "end" }.count
        // Seven; some may still be on their way out.
        #expect((1...7).contains(ends))
    }

    @Test func arrowsLeadFromTheWakerToTheWoken() throws {
        let trace = try trace("traced-work", "CSP_TRACE").trace
        let starts = trace.traceEvents.filter { $0.ph == "s" }, ends = trace.traceEvents.filter { $0.ph == "f" }
        #expect(!starts.isEmpty && starts.count == ends.count)
        let runs = Dictionary(grouping: trace.slices(2).filter { $0.name == "running" }, by: { $0.tid! })
        let byID = Dictionary(ends.map { ($0.id!, $0) }, uniquingKeysWith: { first, _ in first })
        for start in starts {
            let end = try #require(byID[start.id!])
            #expect(start.ts! <= end.ts!)
            // Each end lies in a run of its goroutine; what began before the trace has none at the other end.
            #expect(runs[end.tid!, default: []].contains { $0.ts! - 0.002 <= end.ts! && end.ts! <= $0.end + 0.002 })
        }
    }

    @Test func whatUsersMarkIsThere() throws {
        let events = try trace("traced-work", "CSP_TRACE").trace.traceEvents
        #expect(events.filter { $0.name == "produce \"all\"" }.map(\.ph).sorted() == ["b", "e"])
        let task = events.filter { $0.cat == "task" }
        #expect(task.map(\.ph).sorted() == ["b", "e"] && Set(task.map { $0.id! }).count == 1)
        #expect(events.filter { $0.name == "one is done" && $0.ph == "i" }.count == 3)
    }

    @Test func tracesCanBeMadeAgainAndAgain() throws {
        let (trace, ending) = try trace("trace-start-stop")
        #expect(ending.output == "traced\n")
        for pid in 1...3 { expectTracksInOrder(trace, pid) }
        #expect(trace.goroutine("producer") != nil)
    }

    @Test func whoIsBusyIsSeenAtOnce() throws {
        let trace = try trace("trace-of-the-busy", procs: 1).trace
        let busy = try #require(trace.goroutine("busy"))
        #expect(trace.slices(2).filter { $0.tid == busy && $0.name == "running" }.count > 10)
        expectTracksInOrder(trace, 1)
    }

    @Test func oneIsWrittenAtATime() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("traces-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let ending = try program(
            "traces-at-once", environment: ["CSP_TEST_FILE": folder.appendingPathComponent("t").path])
        #expect(ending.output == "true\n" && ending.status == 0, "\(ending)")
        for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) {
            let trace = try JSONDecoder().decode(Trace.self, from: Data(contentsOf: file))
            for pid in 1...3 { expectTracksInOrder(trace, pid) }
        }
    }

    @Test func aTracedRunsCrashCompletesTheTrace() throws {
        let (trace, ending) = try trace("flight-and-crash-of-a-traced-run", "CSP_TRACE")
        #expect(ending.bySignal && ending.errors.contains("swift-csp: the trace of the last moments is in "))
        #expect(trace.goroutine("culprit") != nil)
    }

    @Test func mistakesAreTold() throws {
        let (_, ending) = try trace("trace-mistakes")
        let lines = ending.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 8, "\(ending)")
        #expect(lines[0].hasPrefix("nothing is being recorded") && lines[1] == lines[0])
        #expect(lines[2].contains("/nowhere/at/all: No such file or directory"))
        #expect(lines[3] == "fine" && lines[4].hasPrefix("a trace is being written already"))
        #expect(lines[5].contains("/dev/full: No space left on device"))
        #expect(lines[6] == "fine" && lines[7] == "fine")
    }

    @Test func aFileThatCannotBeMadeIsTold() throws {
        let ending = try program("traced-work", environment: ["CSP_TRACE": "/nowhere/at/all"])
        #expect(
            ending.status == 0 && ending.errors.hasPrefix("swift-csp: CSP_TRACE: cannot write the trace to /nowhere"))
    }

    @Test func theFlightRecorderKeepsTheLastEvents() throws {
        let (trace, ending) = try trace("flight-on-demand")
        #expect(ending.output == "false\n")
        // 1 MiB in events of 40 bytes, less than one chunk for each thread; each becomes at most two lines and two ends of an arrow.
        let slices = trace.slices(2).count
        #expect(slices > 5000 && slices < 1 << 20 / 40 * 2, "\(slices)")
        // What came last is there.
        #expect(trace.goroutine("late") != nil)
        expectTracksInOrder(trace, 2)
    }

    @Test func itGoesOnBesideATrace() throws {
        let (trace, ending) = try trace("flight-and-trace")
        #expect(ending.output == "true\nfalse\n")
        #expect(trace.goroutine("producer") != nil && trace.metadata.lostEvents == 0)
    }

    @Test func itIsWrittenAtACrash() throws {
        let (trace, ending) = try trace("flight-at-crash")
        #expect(ending.bySignal)
        #expect(ending.errors.contains("swift-csp: the trace of the last moments is in "))
        let culprit = try #require(trace.goroutine("culprit"))
        // It runs on, as far as the trace knows.
        #expect(trace.slices(2).contains { $0.tid == culprit && $0.name == "running" })
    }

    @Test func itIsWrittenAtADeadlock() throws {
        let (trace, ending) = try trace("flight-at-deadlock")
        #expect(ending.status == 2 && ending.errors.contains("all goroutines are asleep - deadlock!"))
        let forlorn = try #require(trace.goroutine("forlorn"))
        #expect(trace.slices(2).contains { $0.tid == forlorn && $0.name == "chan receive" })
    }
}
