import CSP

/// How often each word occurs. `@unchecked Sendable` is a promise that nobody keeps here: the compiler does not look any more.
final class Tally: @unchecked Sendable {
    private(set) var counts: [String: Int] = [:]
    func add(_ word: String) { counts[word, default: 0] += 1 }
}

/// Counts the words of several texts, each in a goroutine.
public func countWords(_ texts: [String]) -> [String: Int] {
    let tally = Tally(), all = WaitGroup()
    for text in texts {
        all.go { for word in text.split(separator: " ") { tally.add(String(word)) } }
    }
    all.wait()
    return tally.counts
}

/// The same with the map in a mutex: nothing is promised, and the compiler checks it.
public func countWordsGuarded(_ texts: [String]) -> [String: Int] {
    let tally = Mutex<[String: Int]>([:]), all = WaitGroup()
    for text in texts {
        all.go {
            for word in text.split(separator: " ") { tally.withLock { $0[String(word), default: 0] += 1 } }
        }
    }
    all.wait()
    return tally.withLock { $0 }
}
