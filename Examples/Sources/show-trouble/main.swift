import CSP
import CSPDebug
import Foundation
import Troubles

// The troubles of docs/inspecting.md, and what the tools say of them: `swift run show-trouble NAME`. With `serve` behind the name it
// goes on, to be looked at from outside.

/// What a browser or curl would get.
func printPage(_ path: String, _ query: String) async {
    print(await DebugHandler.respond(method: "GET", path: path, query: query).text, terminator: "")
}

func leak(_ session: (Newsroom) -> (Int) -> Void) {
    let newsroom = Newsroom()
    for id in 1...50 { session(newsroom)(id) }
}

/// The longest waits of a trace's goroutine, as the picture shows them.
func printLongestWaits(of name: String, in file: String) throws {
    struct Event: Decodable {
        struct Arguments: Decodable { var name: String? }
        var ph, name: String
        var pid: Int
        var tid: Int?
        var ts, dur: Double?
        var args: Arguments?
    }
    struct Recorded: Decodable { var traceEvents: [Event] }
    let events = try JSONDecoder().decode(Recorded.self, from: Data(contentsOf: URL(fileURLWithPath: file))).traceEvents
    let labels = Dictionary(
        events.filter { $0.pid == 2 && $0.name == "thread_name" }.map { ($0.tid!, $0.args!.name!) },
        uniquingKeysWith: { first, _ in first })
    let waits = events.filter {
        $0.ph == "X" && $0.pid == 2 && $0.name != "running" && labels[$0.tid!]?.hasSuffix(name) ?? false
    }
    for wait in waits.sorted(by: { $0.dur! > $1.dur! }).prefix(3) {
        let end = wait.ts! + wait.dur!
        // The arrow that ends there begins at who has woken it.
        let wakers = events.filter { $0.ph == "s" && abs($0.ts! - end) < 0.01 }
        print(
            String(format: "%6.1f ms from %6.1f ms on:", wait.dur! / 1000, wait.ts! / 1000), wait.name,
            wakers.first.flatMap { labels[$0.tid!] }.map { "until \($0)" } ?? "")
    }
}

func stall(logCapacity: Int) throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("stall-\(UUID().uuidString).json").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    try Trace.start(writingTo: file)
    _ = beat(logCapacity: logCapacity)
    try Trace.stop()
    try printLongestWaits(of: "heartbeat", in: file)
}

/// On a thread of its own: what blocks has no place on one of Swift's.
func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in Thread.detachNewThread { continuation.resume(returning: body()) } }
}

Scheduler.mutexProfileFraction = 1
switch CommandLine.arguments.dropFirst().first {
case "leak":
    await run { leak(Newsroom.runSession) }
    await printPage("/debug/pprof/goroutine", "debug=1")
case "leak-mended":
    await run { leak(Newsroom.runSessionClosed) }
    await printPage("/debug/pprof/goroutine", "debug=1")
case "lock":
    await run { shop(Catalog().price) }
    await printPage("/debug/pprof/mutex", "debug=1")
case "lock-mended":
    await run { shop(Catalog().priceAskedOutside) }
    await printPage("/debug/pprof/mutex", "debug=1")
case "stall": try await run { Result { try stall(logCapacity: 0) } }.get()
case "stall-mended": try await run { Result { try stall(logCapacity: 100) } }.get()
default: print("usage: show-trouble leak|lock|stall, or one of them with -mended behind it; then `serve` to go on")
}
if CommandLine.arguments.last == "serve" {
    print("look at", try DebugServer.start(port: 6060).address)
    try await Task.sleep(for: .seconds(3600))
}
