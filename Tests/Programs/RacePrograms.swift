import CSP

// For ThreadSanitizer: see docs/races.md and Scripts/check-races. What the compiler would refuse is hidden from it behind an unchecked class.

let racePrograms = [racyPrograms, racySyncPrograms, cleanPrograms, cleanSyncPrograms].reduce(into: [:]) { all, some in
    all.merge(some) { first, _ in first }
}

final class Shared: @unchecked Sendable {
    var value = 0
    var isReady = false
    var map: [String: Int] = [:]
    var list: [Int] = []
    var text = ""
}

/// Two goroutines that no order stands between, on however many processors, one after the other if it comes to that.
func both(_ first: @escaping @Sendable () -> Void, _ second: @escaping @Sendable () -> Void) {
    let done = WaitGroup()
    done.go(first)
    done.go(second)
    done.wait()
}

/// The same with some time between the two, which orders nothing: for what breaks the heap if both do it at once, so that the process may be gone
/// before the report is written.
func apart(_ first: @escaping @Sendable () -> Void, _ second: @escaping @Sendable () -> Void) {
    both(first) {
        Time.sleep(for: .milliseconds(20))
        second()
    }
}

/// Returns to both of two goroutines when both have come. What they do before is ordered before what either does after, and not otherwise.
struct Meeting {
    private let missing = WaitGroup()

    init() { missing.add(2) }

    func wait() {
        missing.done()
        missing.wait()
    }
}

/// For what `body` uses of the library and of Swift's: see the first use in docs/races.md.
func useOnce(_ body: @escaping @Sendable () -> Void) { both(body, {}) }
