import CSP
import Foundation

/// What is below /debug/pprof/, as Go's net/http/pprof has it.
enum PprofReports {
    static let routes = [
        DebugRoute("/debug/pprof/", "Profiles", "an index of what follows") { try await index($0) },
        DebugRoute(
            "/debug/pprof/goroutine", "goroutine", "all goroutines by stack; debug=1 as text, debug=2 one by one"
        ) { request in
            let level = try level(request, most: 2)
            return await OwnThread.run { goroutines(level) }
        },
        DebugRoute(
            "/debug/pprof/goroutineleak", "goroutineleak",
            "goroutines that can never run again; stops the program for a moment"
        ) { request in
            let level = try level(request, most: 2)
            return await OwnThread.run { leaks(level) }
        },
        DebugRoute(
            "/debug/pprof/profile", "profile", "where CPU time goes, for seconds=30; hz=100 samples per second of it"
        ) { try await cpu($0) },
        DebugRoute(
            "/debug/pprof/block", "block",
            "where goroutines wait for each other; off until Scheduler.blockProfilePeriod is set"
        ) { try await events($0, .block) },
        DebugRoute(
            "/debug/pprof/mutex", "mutex",
            "who makes others wait for locks; off until Scheduler.mutexProfileFraction is set"
        ) { try await events($0, .mutex) },
        DebugRoute("/debug/pprof/threadcreate", "threadcreate", "who has started threads for goroutines") {
            try await threads($0)
        },
        DebugRoute("/debug/pprof/trace", "trace", "an execution trace of seconds=1, for ui.perfetto.dev") {
            try await trace($0)
        },
        DebugRoute("/debug/pprof/flight", "flight", "what the flight recorder has, if it is on, for ui.perfetto.dev") {
            _ in try await flight()
        },
        DebugRoute("/debug/pprof/cmdline", "cmdline", "the program's command line") { _ in
            DebugResponse(text: ProcessInfo.processInfo.arguments.joined(separator: "\0"))
        },
    ]

    private static func level(_ request: DebugRequest, most: Int) throws(BadParameter) -> Int {
        try request.integer("debug", standard: 0, in: 0...most)
    }

    private static func file(_ bytes: [UInt8], _ name: String) -> DebugResponse {
        DebugResponse(
            contentType: "application/octet-stream",
            headers: [("Content-Disposition", "attachment; filename=\"\(name)\"")], body: bytes)
    }

    // MARK: Goroutines

    private static func goroutines(_ level: Int) -> DebugResponse {
        if level == 2 { return DebugResponse(text: Goroutine.dump()) }
        let found = GoroutineInspector.groups()
        return goroutines(found.groups, uncounted: found.uncounted, "goroutine", level)
    }

    private static func leaks(_ level: Int) -> DebugResponse {
        let leaks = Goroutine.leaks()
        if let obstacle = leaks.obstacle {
            return DebugResponse(status: 503, text: "no search for leaked goroutines: \(obstacle)\n")
        }
        if level == 2 { return DebugResponse(text: leaks.description + "\n") }
        let groups = leaks.isEmpty ? [] : GoroutineInspector.groups(of: Set(leaks.map(\.id))).groups
        return goroutines(groups, uncounted: 0, "goroutineleak", level)
    }

    private static func goroutines(
        _ groups: [GoroutineGroup], uncounted: Int, _ name: String, _ level: Int
    ) -> DebugResponse {
        if level == 1 {
            // As Go's: by stack alone, whatever the state and whoever has made them.
            let byStack = Dictionary(groups.map { ($0.stack, $0.count) }, uniquingKeysWith: +)
            let counted = byStack.map { (stack: $0.key, head: "\($0.value)", count: $0.value) }
            let all = groups.reduce(uncounted) { $0 + $1.count }
            let rest = uncounted > 0 ? "\(uncounted) more, with stacks of their own\n" : ""
            return DebugResponse(text: "\(name) profile: total \(all)\n" + text(counted) + rest)
        }
        let kind = ProfileEncoder.Kind(type: name, unit: "count")
        var encoder = ProfileEncoder([kind], periodKind: kind, period: 1)
        for group in groups {
            var labels = [(key: "state", value: group.state)]
            if let name = group.name { labels.append(("name", name)) }
            if let creator = group.creator { labels.append(("creator", creator.function)) }
            encoder.add(group.stack, [Int64(group.count)], labels: labels)
        }
        if uncounted > 0 { encoder.add([], [Int64(uncounted)], labels: [("state", "not shown")]) }
        return file(encoder.bytes, name)
    }

    /// Go's form at debug=1: the addresses in a line, and a line for each function.
    private static func text(_ stacks: [(stack: [StackFrame], head: String, count: Int)]) -> String {
        stacks.sorted { $0.count > $1.count }.map { entry in
            let addresses = entry.stack.map { " 0x" + String($0.address, radix: 16) }.joined()
            let lines = entry.stack.map { frame in
                "#\t0x\(String(frame.address, radix: 16))\t\(frame.function)\t\(frame.file):\(frame.line)\n"
            }
            return "\(entry.head) @\(addresses)\n\(lines.joined())\n"
        }.joined()
    }

    // MARK: CPU time

    private static func cpu(_ request: DebugRequest) async throws -> DebugResponse {
        let seconds = try request.integer("seconds", standard: 30, in: 1...600)
        let hertz = try request.integer("hz", standard: 100, in: 1...1000)
        let result = await OwnThread.run {
            Result { () throws(CPUProfiler.Failure) in
                encode(try CPUProfiler.run(for: .seconds(seconds), hertz: hertz))
            }
        }
        switch result {
        case .success(let bytes): return file(bytes, "profile")
        case .failure(.busy): return DebugResponse(status: 409, text: "\(CPUProfiler.Failure.busy)\n")
        case .failure(let failure): return DebugResponse(status: 503, text: "\(failure)\n")
        }
    }

    private static func encode(_ profile: CPUProfiler.Profile) -> [UInt8] {
        let time = ProfileEncoder.Kind(type: "cpu", unit: "nanoseconds")
        var encoder = ProfileEncoder(
            [ProfileEncoder.Kind(type: "samples", unit: "count"), time], periodKind: time, period: profile.period,
            duration: profile.duration)
        if profile.lost > 0 { encoder.comment("\(profile.lost) samples found no room") }
        var symbolicator = Symbolicator()
        symbolicator.learn(profile.entries.flatMap(\.stack))
        for entry in profile.entries {
            encoder.add(
                symbolicator.places(of: entry.stack).flatMap { $0 },
                [Int64(entry.count), Int64(entry.count) * profile.period],
                labels: entry.label.map { [("goroutine", $0)] } ?? [])
        }
        return encoder.bytes
    }

    // MARK: Waits and threads

    private static func events(_ request: DebugRequest, _ profile: EventProfile) async throws -> DebugResponse {
        let level = try level(request, most: 1)
        return await OwnThread.run {
            let entries = profile.snapshot
            let stacks = shown(entries.map(\.stack))
            if level == 1 {
                let counted = zip(entries, stacks).map { entry, stack in
                    let time = Int(entry.nanoseconds)
                    return (stack: stack, head: "\(Int(entry.count.rounded())) \(time)ns", count: time)
                }
                return DebugResponse(text: "--- \(profile.name):\n" + text(counted))
            }
            let kinds = [("contentions", "count"), ("delay", "nanoseconds")].map(ProfileEncoder.Kind.init)
            var encoder = ProfileEncoder(kinds, periodKind: kinds[0], period: 1)
            for (entry, stack) in zip(entries, stacks) {
                encoder.add(stack, [Int64(entry.count.rounded()), Int64(entry.nanoseconds)])
            }
            return file(encoder.bytes, profile.name)
        }
    }

    private static func threads(_ request: DebugRequest) async throws -> DebugResponse {
        let level = try level(request, most: 1)
        return await OwnThread.run {
            let entries = ThreadStarts.entries
            let stacks = shown(entries.map(\.stack))
            if level == 1 {
                let counted = zip(entries, stacks).map { (stack: $1, head: "\($0.count)", count: $0.count) }
                return DebugResponse(text: "threadcreate profile:\n" + text(counted))
            }
            let kind = ProfileEncoder.Kind(type: "threadcreate", unit: "count")
            var encoder = ProfileEncoder([kind], periodKind: kind, period: 1)
            for (entry, stack) in zip(entries, stacks) { encoder.add(stack, [Int64(entry.count)]) }
            return file(encoder.bytes, "threadcreate")
        }
    }

    /// Only what the user's code has called of the runtime.
    private static func shown(_ stacks: [[UInt]]) -> [[StackFrame]] {
        var symbolicator = Symbolicator()
        symbolicator.learn(stacks.flatMap { $0 })
        return stacks.map { symbolicator.shown($0, omitted: 0) }
    }

    // MARK: Traces

    private static func trace(_ request: DebugRequest) async throws -> DebugResponse {
        let seconds = try request.integer("seconds", standard: 1, in: 1...60)
        return await recorded { path throws(TraceFailure) in
            try Trace.start(writingTo: path)
            Thread.sleep(forTimeInterval: Double(seconds))
            try Trace.stop()
        }
    }

    private static func flight() async throws -> DebugResponse {
        await recorded { path throws(TraceFailure) in try FlightRecorder.write(to: path) }
    }

    /// What `record` writes into a file.
    private static func recorded(
        _ record: @escaping @Sendable (String) throws(TraceFailure) -> Void
    ) async -> DebugResponse {
        await OwnThread.run {
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("csp-trace-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: file) }
            do throws(TraceFailure) { try record(file.path) } catch {
                let isConflict = if case .cannotWrite = error { false } else { true }
                return DebugResponse(status: isConflict ? 409 : 500, text: "\(error)\n")
            }
            guard let bytes = try? Data(contentsOf: file) else {
                return DebugResponse(status: 500, text: "the trace in \(file.path) cannot be read\n")
            }
            return DebugResponse(
                contentType: "application/json",
                headers: [("Content-Disposition", "attachment; filename=\"trace.json\"")], body: Array(bytes))
        }
    }

    // MARK: Index

    private static func index(_ request: DebugRequest) async throws -> DebugResponse {
        guard request.path == "/debug/pprof/" else {
            return DebugResponse(
                status: 404,
                text: "no such profile; there are: \(routes.dropFirst().map(\.title).joined(separator: " "))\n")
        }
        let goroutines = Goroutine.count
        let rows = routes.dropFirst().map { route in
            let isText = ["goroutine", "goroutineleak", "block", "mutex", "threadcreate"].contains(route.title)
            // Relative, so that they hold below any prefix.
            let link = route.title + (isText ? "?debug=1" : "")
            let count = route.title == "goroutine" ? "\(goroutines)" : ""
            return "<tr><td>\(count)</td><td><a href=\"\(link)\">\(route.title)</a></td><td>\(route.summary)</td></tr>"
        }
        return DebugResponse(
            contentType: "text/html; charset=utf-8",
            text: """
                <!doctype html><html lang="en"><meta charset="utf-8"><title>/debug/pprof/</title>
                <meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
                <style>body{font:15px system-ui,sans-serif;margin:2em}td{padding:.2em .8em .2em 0}</style>
                <h1>/debug/pprof/</h1><p>For <code>go tool pprof</code>: <code>go tool pprof -http=: ADDRESS/debug/pprof/profile</code>.
                The <a href="../../">live page</a>.</p><table>
                \(rows.joined(separator: "\n"))
                <tr><td></td><td><a href="goroutine?debug=2">full goroutine dump</a></td><td></td></tr></table>

                """)
    }
}
