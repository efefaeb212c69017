import CSP
import Hummingbird
import Logging

/// A web server on the loopback interface, on a port that is free, for the requests to have somebody to talk to.
public final class LocalServer: Sendable {
    /// Where it listens.
    public let url: String
    private let task: Task<Void, any Error>
    private let peers: ConcurrentMap<String, Bool>

    /// Connections that requests have come on.
    public var connectionCount: Int { peers.count }

    /// Waits until it serves.
    /// - Parameters:
    ///   - delay: Milliseconds that an answer takes.
    ///   - stalling: Every so many requests one is answered only after a minute; 0 for none.
    public init(delay: ClosedRange<Int> = 0...4, stalling: Int = 0) throws {
        let peers = ConcurrentMap<String, Bool>(), served = SharedAtomic(0)
        let router = Router(context: PeerContext.self)
        router.get("work") { _, context in
            if let peer = context.peer { peers[peer] = true }
            let isStalled = stalling > 0 && served.add(1) % stalling == 0
            try await Task.sleep(for: isStalled ? .seconds(60) : .milliseconds(Int.random(in: delay)))
            return "done\n"
        }
        let started = CSP.Channel<Result<Int, any Error>>(capacity: 2)
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { _ = started.trySend(.success($0.localAddress?.port ?? 0)) },
            logger: Logger(label: "local server") { _ in SwiftLogNoOpLogHandler() })
        task = Task {
            do {
                try await application.run()
            } catch {
                _ = started.trySend(.failure(error))
                throw error
            }
        }
        self.peers = peers
        url = "http://127.0.0.1:\(try started.receive()!.get())/work"
    }

    /// Ends it, and waits for that.
    public func stop() {
        task.cancel()
        runBlocking { [task] () async in _ = await task.result }
    }
}

/// Knows who has sent the request.
private struct PeerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let peer: String?

    init(source: Source) {
        coreContext = .init(source: source)
        peer = source.channel.remoteAddress?.description
    }
}
