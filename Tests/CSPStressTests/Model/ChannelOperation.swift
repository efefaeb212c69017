/// What somebody does with channels, which go by number here.
enum ChannelOperation: Hashable, CustomStringConvertible {
    /// A send, a receive, a try or a select: all of them are selects.
    case choose([ChannelCase], hasDefault: Bool = false, isPrioritized: Bool = false)
    case close(Int)
    /// Asks how many values are in the buffer.
    case count(Int)

    static func send(_ value: Int, to channel: Int) -> Self { .choose([.send(value, to: channel)]) }
    static func receive(from channel: Int) -> Self { .choose([.receive(from: channel)]) }
    static func trySend(_ value: Int, to channel: Int) -> Self {
        .choose([.send(value, to: channel)], hasDefault: true)
    }
    static func tryReceive(from channel: Int) -> Self { .choose([.receive(from: channel)], hasDefault: true) }

    var description: String {
        switch self {
        case .choose(let cases, let hasDefault, let isPrioritized):
            let all = cases.map(\.description) + (hasDefault ? ["default"] : [])
            return all.count == 1
                ? all[0] : "select\(isPrioritized ? " in order" : "") { \(all.joined(separator: "; ")) }"
        case .close(let channel): return "close \(channel)"
        case .count(let channel): return "count of \(channel)"
        }
    }
}

/// A case of a select. That of no channel is never ready.
enum ChannelCase: Hashable, CustomStringConvertible {
    case send(Int, to: Int?)
    case receive(from: Int?)

    var description: String {
        switch self {
        case .send(let value, let channel): "\(channel.map(String.init) ?? "nil") <- \(value)"
        case .receive(let channel): "<-\(channel.map(String.init) ?? "nil")"
        }
    }
}

/// What an operation has come to. Cases go by their place in the select.
enum ChannelOutcome: Hashable {
    case sent(place: Int = 0)
    /// Nil: closed and drained.
    case received(place: Int = 0, Int?)
    case byDefault
    case closed
    case counted(Int)
}
