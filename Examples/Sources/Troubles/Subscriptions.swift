import CSP

/// Sends news to whoever has subscribed.
public final class Newsroom: Sendable {
    private let readers = Mutex<[Int: Channel<String>]>([:])

    /// Without readers.
    public init() {}

    /// Hands it to everybody.
    public func publish(_ news: String) {
        let channels = readers.withLock { Array($0.values) }
        for channel in channels { channel <- news }
    }

    /// A session that ends takes its reader off the list. Its goroutine waits for news for ever.
    public func runSession(_ id: Int) {
        let news = Channel<String>(capacity: 8)
        readers.withLock { $0[id] = news }
        go { showNews(news) }
        Time.sleep(for: .milliseconds(2))
        readers.withLock { $0[id] = nil }
    }

    /// The mended one also tells it that there will be no more.
    public func runSessionClosed(_ id: Int) {
        let news = Channel<String>(capacity: 8)
        readers.withLock { $0[id] = news }
        go { showNews(news) }
        Time.sleep(for: .milliseconds(2))
        readers.withLock { $0[id] = nil }
        news.close()
    }
}

@inline(never)
private func showNews(_ news: Channel<String>) {
    for item in news { print(item) }
}
