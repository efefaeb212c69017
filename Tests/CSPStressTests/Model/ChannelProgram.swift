import CSP

/// Some scripts, to be run at once on the same channels.
///
/// No order of their steps sends on a closed channel or closes one twice: a channel that is closed at all has an owner, who alone sends on it, and
/// does not after the close.
struct ChannelProgram {
    struct Step {
        let operation: Int
        let form: ChannelForm
    }

    let capacities: [Int]
    private(set) var operations: [ChannelOperation] = []
    private(set) var scripts: [[Step]] = []
    /// By channel: the script that may close it, if any.
    let owners: [Int?]
    private var closed: Set<Int> = []

    /// Two to four scripts of three to six steps on one to three channels.
    init(_ random: inout SeededGenerator) {
        let scriptCount = Int.random(in: 2...4, using: &random)
        capacities = (0..<Int.random(in: 1...3, using: &random)).map { _ in Int.random(in: 0...2, using: &random) }
        owners = capacities.map { _ in
            Int.random(in: 0..<5, using: &random) < 2 ? Int.random(in: 0..<scriptCount, using: &random) : nil
        }
        for script in 0..<scriptCount {
            scripts.append([])
            for _ in 0..<Int.random(in: 3...6, using: &random) {
                guard let operation = makeOperation(script, &random) else { continue }
                let form = [.call, .call, .block, .array][Int.random(in: 0..<4, using: &random)] as ChannelForm
                scripts[script].append(Step(operation: operations.count, form: form))
                operations.append(operation)
            }
        }
    }

    /// Nil now and then, when what came up may not be done by this script.
    private mutating func makeOperation(_ script: Int, _ random: inout SeededGenerator) -> ChannelOperation? {
        let channel = Int.random(in: capacities.indices, using: &random)
        let any = makeCase(script, &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0: return .count(channel)
        case 1...3:
            guard owners[channel] == script, closed.insert(channel).inserted else { return nil }
            return .close(channel)
        case 4...7: return any.isOfNoChannel ? nil : .choose([any])
        case 8...11: return .choose([any], hasDefault: true)
        default:
            let cases = [any] + (0..<Int.random(in: 1...2, using: &random)).map { _ in makeCase(script, &random) }
            let hasDefault = Int.random(in: 0..<3, using: &random) == 0
            // What waits for nothing is in no list of waiters, where the run would look for it.
            if !hasDefault, cases.allSatisfy(\.isOfNoChannel) { return nil }
            let isPrioritized = Int.random(in: 0..<4, using: &random) == 0
            return .choose(cases, hasDefault: hasDefault, isPrioritized: isPrioritized)
        }
    }

    /// Each value is sent by one case only.
    private var values = 0

    private mutating func makeCase(_ script: Int, _ random: inout SeededGenerator) -> ChannelCase {
        let isNil = Int.random(in: 0..<12, using: &random) == 0
        let channel = Int.random(in: capacities.indices, using: &random)
        if Bool.random(using: &random), maySend(script, channel) {
            values += 1
            return .send(values, to: isNil ? nil : channel)
        }
        return .receive(from: isNil ? nil : channel)
    }

    private func maySend(_ script: Int, _ channel: Int) -> Bool {
        guard let owner = owners[channel] else { return true }
        return owner == script && !closed.contains(channel)
    }
}

extension ChannelCase {
    fileprivate var isOfNoChannel: Bool { self == .receive(from: nil) || isSendToNone }

    private var isSendToNone: Bool { if case .send(_, nil) = self { true } else { false } }
}
