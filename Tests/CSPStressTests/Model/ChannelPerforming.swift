import CSP

/// How the same is written in a program: each takes a way of its own through the runtime.
enum ChannelForm {
    /// A call of `send`, `receive`, `trySend` or `tryReceive`, if it is one of these; otherwise as a block.
    case call
    /// `select` with a block of cases.
    case block
    /// `select` with an array of cases.
    case array
}

extension ChannelOperation {
    /// On a goroutine or a thread.
    @available(*, noasync)
    func perform(on channels: [Channel<Int>], _ form: ChannelForm) -> ChannelOutcome {
        if let outcome = performAtOnce(on: channels) { return outcome }
        guard case .choose(let cases, let hasDefault, let isPrioritized) = self else { preconditionFailure() }
        let operands = Operands(cases, channels)
        switch form {
        case .call where cases.count == 1 && !hasDefault:
            if let channel = operands.receiver(0) { return .received(channel.receive()) }
            operands.sender(0)!.send(operands.value(0))
            return .sent()
        case .call where cases.count == 1:
            return operands.attempt()
        case .call, .block:
            switch (hasDefault, isPrioritized) {
            case (false, false): return select { operands.block }
            case (false, true): return select(prioritized: true) { operands.block }
            case (true, true):
                return select(prioritized: true) {
                    operands.block
                    Default { ChannelOutcome.byDefault }
                }
            case (true, false):
                // A single case and a default are looked at once, more of them twice.
                if cases.count > 1 {
                    return select {
                        operands.block
                        Default { ChannelOutcome.byDefault }
                    }
                }
                if let channel = operands.receiver(0) {
                    return select {
                        Receive(channel) { ChannelOutcome.received($0) }
                        Default { ChannelOutcome.byDefault }
                    }
                }
                return select {
                    Send(operands.value(0), to: operands.sender(0)) { ChannelOutcome.sent() }
                    Default { ChannelOutcome.byDefault }
                }
            }
        case .array:
            return select(prioritized: isPrioritized, operands.array(hasDefault))
        }
    }

    /// In a Swift task that nobody cancels.
    func performSuspending(on channels: [Channel<Int>], _ form: ChannelForm) async throws -> ChannelOutcome {
        if let outcome = performAtOnce(on: channels) { return outcome }
        guard case .choose(let cases, let hasDefault, let isPrioritized) = self else { preconditionFailure() }
        let operands = Operands(cases, channels)
        switch form {
        case .call where cases.count == 1 && !hasDefault:
            if let channel = operands.receiver(0) { return .received(try await channel.receive()) }
            try await operands.sender(0)!.send(operands.value(0))
            return .sent()
        case .call where cases.count == 1:
            return operands.attempt()
        case .call, .block:
            if hasDefault {
                return try await select(prioritized: isPrioritized) {
                    operands.block
                    Default { ChannelOutcome.byDefault }
                }
            }
            return try await select(prioritized: isPrioritized) { operands.block }
        case .array:
            return try await select(prioritized: isPrioritized, operands.array(hasDefault))
        }
    }

    private func performAtOnce(on channels: [Channel<Int>]) -> ChannelOutcome? {
        switch self {
        case .choose: return nil
        case .count(let channel): return .counted(channels[channel].count)
        case .close(let channel):
            channels[channel].close()
            return .closed
        }
    }
}

/// A select's cases with real channels.
private struct Operands {
    private let cases: [ChannelCase]
    private let channels: [Channel<Int>]

    init(_ cases: [ChannelCase], _ channels: [Channel<Int>]) {
        self.cases = cases
        self.channels = channels
    }

    func receiver(_ place: Int) -> Channel<Int>? {
        guard place < cases.count, case .receive(let channel?) = cases[place] else { return nil }
        return channels[channel]
    }

    func sender(_ place: Int) -> Channel<Int>? {
        guard place < cases.count, case .send(_, let channel?) = cases[place] else { return nil }
        return channels[channel]
    }

    func value(_ place: Int) -> Int {
        guard place < cases.count, case .send(let value, _) = cases[place] else { return 0 }
        return value
    }

    func attempt() -> ChannelOutcome {
        if let channel = sender(0) { return channel.trySend(value(0)) ? .sent() : .byDefault }
        switch receiver(0)?.tryReceive() {
        case .value(let value): return .received(value)
        case .closed: return .received(nil)
        case .empty, nil: return .byDefault
        }
    }

    /// Three cases of either kind at most. A block's shape is fixed, so what is not there is a case of no channel.
    @SelectBuilder var block: some SelectCase<ChannelOutcome, Never> & ~Copyable {
        Receive(receiver(0)) { ChannelOutcome.received(place: 0, $0) }
        Send(value(0), to: sender(0)) { ChannelOutcome.sent(place: 0) }
        Receive(receiver(1)) { ChannelOutcome.received(place: 1, $0) }
        Send(value(1), to: sender(1)) { ChannelOutcome.sent(place: 1) }
        Receive(receiver(2)) { ChannelOutcome.received(place: 2, $0) }
        Send(value(2), to: sender(2)) { ChannelOutcome.sent(place: 2) }
    }

    func array(_ hasDefault: Bool) -> [AnySelectCase<ChannelOutcome>] {
        var all = cases.indices.map { place in
            if case .receive = cases[place] {
                AnySelectCase(Receive(receiver(place)) { ChannelOutcome.received(place: place, $0) })
            } else {
                AnySelectCase(Send(value(place), to: sender(place)) { ChannelOutcome.sent(place: place) })
            }
        }
        if hasDefault { all.append(AnySelectCase(Default { ChannelOutcome.byDefault })) }
        return all
    }
}
