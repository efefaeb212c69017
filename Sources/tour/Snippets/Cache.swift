import CSP

/// Many read what few write: readers are inside together, a writer alone.
enum Cache: Snippet {
    static let name = "cache"
    static let title = "A cache: many readers, one writer"
    static let summary = "goroutines read a cache side by side; the first to miss a page fetches it"

    struct Pages: Sendable {
        private let cached = RWMutex<[Int: String]>([:])
        let fetches = SharedAtomic(0)

        func page(_ number: Int) -> String {
            if let page = cached.withReadLock({ $0[number] }) { return page }
            return cached.withWriteLock { pages in
                // Another goroutine may have fetched it while this one waited for its turn.
                if let page = pages[number] { return page }
                fetches.add(1)
                Time.sleep(for: .milliseconds(1))  // Here it would be fetched.
                let page = "page \(number)"
                pages[number] = page
                return page
            }
        }
    }

    static func run() {
        let pages = Pages(), right = SharedAtomic(0)
        let readers = WaitGroup()
        for reader in 0..<100 {
            readers.go {
                for n in 0..<50 where pages.page((reader + n) % 10) == "page \((reader + n) % 10)" { right.add(1) }
            }
        }
        readers.wait()
        print("\(right.load()) pages read, \(pages.fetches.load()) fetched")
    }
}
