import CSP
import Dispatch
import Foundation
import Testing

/// How long a body may take before it counts as hanging; far above what any of them needs, under a sanitizer on a busy machine, too.
let patience = 300

/// Runs `body` in a goroutine and waits for it, so that one which hangs is a failure here and not a job without end.
func inGoroutine(
    limit seconds: Int = patience, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: sending @escaping () throws -> Void
) {
    let finished = DispatchSemaphore(value: 0)
    go("test body", stackSize: 1 << 20) {
        do { try body() } catch { Issue.record(error, sourceLocation: sourceLocation) }
        finished.signal()
    }
    if finished.wait(timeout: .now() + .seconds(seconds)) == .timedOut {
        Issue.record("hangs: not finished after \(seconds) s", sourceLocation: sourceLocation)
    }
}

/// The same on a plain thread of its own.
func onThread(
    limit seconds: Int = patience, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable () -> Void
) {
    let finished = DispatchSemaphore(value: 0)
    startThread {
        body()
        finished.signal()
    }
    if finished.wait(timeout: .now() + .seconds(seconds)) == .timedOut {
        Issue.record("hangs: not finished after \(seconds) s", sourceLocation: sourceLocation)
    }
}

/// Starts `body` on a plain thread, outside the scheduler's knowledge.
func startThread(_ body: @escaping @Sendable () -> Void) {
    Thread.detachNewThread(body)
}

/// Time enough for goroutines and threads to reach their next park. Only coverage hangs on it: each assertion that
/// follows must hold wherever they are, unless it says otherwise.
func settle() {
    Time.sleep(for: .milliseconds(20))
}

/// Waits until `condition` holds; false when it still does not after half a minute.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<15_000 {
        if condition() { return true }
        Time.sleep(for: .milliseconds(2))
    }
    return condition()
}

/// A `ReceiveAttempt` that can be compared.
enum Attempt<Element: Equatable>: Equatable {
    case value(Element), empty, closed

    init(_ attempt: ReceiveAttempt<Element>) {
        switch attempt {
        case .value(let value): self = .value(value)
        case .empty: self = .empty
        case .closed: self = .closed
        }
    }
}
