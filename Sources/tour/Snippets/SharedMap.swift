import CSP

/// Go's runtime crashes on a plain map that two goroutines use at once. Here that does not compile; what does is a map for sharing.
///
///     var counts: [String: Int] = [:]
///     go { counts["a"] = 1 }   // error: sending value of non-Sendable type '() -> ()' risks causing data races
///     print(counts)
enum SharedMap: Snippet {
    static let name = "shared-map"
    static let title = "A map that goroutines share"
    static let summary = "ConcurrentMap, Go's sync.Map: reads take no lock"

    static func run() {
        let text = "the quick brown fox jumps over the lazy dog while the other dog sleeps"
        let counts = ConcurrentMap<Substring, Int>()
        let readers = WaitGroup()
        for _ in 0..<100 {
            readers.go {
                for word in text.split(separator: " ") {
                    counts.update(word) { $0 = ($0 ?? 0) + 1 }  // One step; `counts[word]! += 1` would be two.
                }
            }
        }
        readers.wait()
        print("the: \(counts["the"]!), dog: \(counts["dog"]!), cat: \(counts["cat"] ?? 0)")

        let (first, wasThere) = counts.loadOrStore("cat", 1)
        print("cat: \(first)\(wasThere ? "" : ", which is new"); \(counts.count) words")

        // Those who ask for the same thing at the same time share one answer.
        let lookups = SingleFlight<String, Int>(), resolved = SharedAtomic(0)
        for _ in 0..<10 {
            readers.go {
                _ = try? lookups.run("example.com") {
                    resolved.add(1)
                    Time.sleep(for: .milliseconds(5))
                    return 42
                }
            }
        }
        readers.wait()
        print("ten asked for an address, \(resolved.load()) looked it up")
    }
}
