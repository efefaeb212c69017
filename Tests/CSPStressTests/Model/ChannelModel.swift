/// What channels are, one step at a time: Go's specification, with the rule that who waits is served first in, first out.
///
/// An operation that must wait takes two steps: its own, which puts it in line, and somebody else's, which completes it (W. Scherer, M. Scott:
/// "Nonblocking Concurrent Data Structures with Condition Synchronization", DISC 2004). To send on a closed channel, or to close it while
/// somebody waits to send, ends the program, so it is in no program here and has no step.
struct ChannelModel: Hashable {
    /// A case of an operation that waits.
    struct Place: Hashable {
        let operation: Int
        let index: Int
    }

    struct State: Hashable {
        let capacity: Int
        var buffer: [Int] = []
        var isClosed = false
        var receivers: [Place] = []
        var senders: [Place] = []
    }

    /// An operation that is over now.
    struct Completion: Hashable {
        let operation: Int
        let outcome: ChannelOutcome
    }

    var channels: [State]

    init(capacities: [Int]) { channels = capacities.map { State(capacity: $0) } }

    /// All that may happen when the operation takes its step: the channels afterwards, and whatever is over then. Nothing over: it waits.
    func steps(of operation: Int, in operations: [ChannelOperation]) -> [(after: ChannelModel, over: [Completion])] {
        switch operations[operation] {
        case .close(let channel):
            return [closing(channel, by: operation)].compactMap(\.self)
        case .count(let channel):
            return [(self, [Completion(operation: operation, outcome: .counted(channels[channel].buffer.count))])]
        case .choose(let cases, let hasDefault, let isPrioritized):
            if cases.contains(where: isForbidden) { return [] }
            let ready = cases.indices.filter { isReady(cases[$0]) }
            if ready.isEmpty {
                if hasDefault { return [(self, [Completion(operation: operation, outcome: .byDefault)])] }
                return [(waiting(operation, cases), [])]
            }
            return ready.prefix(isPrioritized ? 1 : ready.count).map { index in
                performing(cases[index], at: Place(operation: operation, index: index), in: operations)
            }
        }
    }

    private func isForbidden(_ some: ChannelCase) -> Bool {
        if case .send(_, let channel?) = some { channels[channel].isClosed } else { false }
    }

    private func isReady(_ some: ChannelCase) -> Bool {
        switch some {
        case .send(_, nil), .receive(nil): return false
        case .send(_, let channel?):
            let state = channels[channel]
            return state.buffer.count < state.capacity || !state.receivers.isEmpty
        case .receive(let channel?):
            let state = channels[channel]
            return !state.buffer.isEmpty || !state.senders.isEmpty || state.isClosed
        }
    }

    private func waiting(_ operation: Int, _ cases: [ChannelCase]) -> ChannelModel {
        var after = self
        for (index, each) in cases.enumerated() {
            let place = Place(operation: operation, index: index)
            switch each {
            case .send(_, let channel?): after.channels[channel].senders.append(place)
            case .receive(let channel?): after.channels[channel].receivers.append(place)
            case .send(_, nil), .receive(nil): break
            }
        }
        return after
    }

    private func performing(
        _ some: ChannelCase, at place: Place, in operations: [ChannelOperation]
    ) -> (after: ChannelModel, over: [Completion]) {
        var after = self
        switch some {
        case .send(let value, let channel):
            let own = Completion(operation: place.operation, outcome: .sent(place: place.index))
            guard let receiver = after.channels[channel!].receivers.first else {
                after.channels[channel!].buffer.append(value)
                return (after, [own])
            }
            after.withdraw(receiver.operation)
            let other = Completion(
                operation: receiver.operation, outcome: .received(place: receiver.index, value))
            return (after, [own, other])
        case .receive(let channel):
            var over: [Completion] = []
            // The first sender's value comes behind those in the buffer.
            if let sender = after.channels[channel!].senders.first {
                guard case .choose(let cases, _, _) = operations[sender.operation],
                    case .send(let value, _) = cases[sender.index]
                else { preconditionFailure("what waits to send is no send") }
                after.withdraw(sender.operation)
                after.channels[channel!].buffer.append(value)
                over.append(Completion(operation: sender.operation, outcome: .sent(place: sender.index)))
            }
            let buffer = after.channels[channel!].buffer
            after.channels[channel!].buffer = Array(buffer.dropFirst())
            over.append(
                Completion(operation: place.operation, outcome: .received(place: place.index, buffer.first)))
            return (after, over)
        }
    }

    private func closing(_ channel: Int, by operation: Int) -> (after: ChannelModel, over: [Completion])? {
        if channels[channel].isClosed || !channels[channel].senders.isEmpty { return nil }
        var after = self
        after.channels[channel].isClosed = true
        var over = [Completion(operation: operation, outcome: .closed)]
        while let receiver = after.channels[channel].receivers.first {
            after.withdraw(receiver.operation)
            over.append(Completion(operation: receiver.operation, outcome: .received(place: receiver.index, nil)))
        }
        return (after, over)
    }

    /// One of its cases is done, so none of them waits any more.
    private mutating func withdraw(_ operation: Int) {
        for channel in channels.indices {
            channels[channel].receivers.removeAll { $0.operation == operation }
            channels[channel].senders.removeAll { $0.operation == operation }
        }
    }
}
