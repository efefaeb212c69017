import CSP
import Dispatch
import Foundation
import Testing

/// How long a body may take before it counts as hanging; far above what any of them needs.
let patience = 100

/// Runs `body` in a goroutine and waits for it, so that one which hangs is a failure here and not a job without end. What it starts is a family, so that
/// `isParked` does not take another test's goroutine for one of this test's.
func inGoroutine(
    limit seconds: Int = patience, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: sending @escaping () throws -> Void
) {
    let finished = DispatchSemaphore(value: 0)
    go("test body", stackSize: 1 << 20) {
        do { try Family().gather(body) } catch { Issue.record(error, sourceLocation: sourceLocation) }
        finished.signal()
    }
    if finished.wait(timeout: .now() + .seconds(seconds)) == .timedOut {
        Issue.record("hangs: not finished after \(seconds) s\n\(Goroutine.dump())", sourceLocation: sourceLocation)
    }
}

/// The same on a plain thread of its own.
func onThread(
    limit seconds: Int = patience, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable () throws -> Void
) {
    let finished = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        do { try body() } catch { Issue.record(error, sourceLocation: sourceLocation) }
        finished.signal()
    }
    if finished.wait(timeout: .now() + .seconds(seconds)) == .timedOut {
        Issue.record("hangs: not finished after \(seconds) s", sourceLocation: sourceLocation)
    }
}

/// Waits until `condition` holds; false when it still does not after half a minute.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<15_000 {
        if condition() { return true }
        Time.sleep(for: .milliseconds(2))
    }
    return condition()
}

/// Whether a goroutine of that name waits for that reason, in a dump's words.
func isParked(_ name: String, for reason: String = "IO wait") -> Bool { Dump.isParked(name, for: reason) }
