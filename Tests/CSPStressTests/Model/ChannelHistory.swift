/// What was seen from outside while several used the same channels, in the order of time.
struct ChannelHistory: CustomStringConvertible {
    enum Event {
        /// The operation began.
        case call(Int)
        /// It was over.
        case end(Int, ChannelOutcome)
        /// All that had begun and were not over were waiting: nothing would happen by itself any more.
        case quiet
    }

    let capacities: [Int]
    let operations: [ChannelOperation]
    let events: [Event]

    var description: String {
        let lines = events.map { event in
            switch event {
            case .call(let operation): "    [\(operation)] \(operations[operation])"
            case .end(let operation, let outcome): "    [\(operation)] \(operations[operation]): \(outcome)"
            case .quiet: "    all wait"
            }
        }
        return "channels with capacities \(capacities):\n\(lines.joined(separator: "\n"))"
    }

    /// Nil if the channels could have done the same one step at a time, each operation's step between its beginning and its end (M. Herlihy, J. Wing:
    /// "Linearizability", TOPLAS 1990), and with nobody waiting who need not (S. Burckhardt et al.: "Line-Up", PLDI 2010). Otherwise what is
    /// wrong first.
    ///
    /// All that may have happened up to an event is kept; steps are taken no earlier than an event asks for them (G. Lowe: "Testing
    /// for linearizability", 2017).
    func firstError() -> String? {
        precondition(operations.count <= 64, "a configuration has room for 64 operations")
        var outcomes: [ChannelOutcome?] = Array(repeating: nil, count: operations.count)
        for case .end(let operation, let outcome) in events { outcomes[operation] = outcome }
        var possible: Set = [Configuration(model: ChannelModel(capacities: capacities))]
        for (index, event) in events.enumerated() {
            switch event {
            case .call(let operation):
                possible = Set(possible.map { $0.calling(operation) })
            case .end(let operation, _):
                possible = reachable(from: possible, outcomes) { $0.ending(operation) }
            case .quiet:
                possible = reachable(from: possible, outcomes) { $0.isQuiet ? $0 : nil }
            }
            if possible.isEmpty { return "impossible after \(index) events of\n\(self)" }
        }
        return nil
    }

    /// What `goal` makes of all configurations to which steps lead, those beyond a goal left out.
    private func reachable(
        from start: Set<Configuration>, _ outcomes: [ChannelOutcome?], _ goal: (Configuration) -> Configuration?
    ) -> Set<Configuration> {
        var seen = start, left = Array(start)
        var reached: Set<Configuration> = []
        while let one = left.popLast() {
            if let end = goal(one) {
                reached.insert(end)
                continue
            }
            for next in one.next(operations, outcomes) where seen.insert(next).inserted { left.append(next) }
        }
        return reached
    }
}

/// What may be the case at a moment. Sets of operations are bits.
private struct Configuration: Hashable {
    var model: ChannelModel
    /// Those that have begun, but not taken their step.
    var called: UInt64 = 0
    /// Those that are over, but have not ended yet as seen from outside.
    var over: UInt64 = 0

    func calling(_ operation: Int) -> Configuration {
        var after = self
        after.called |= 1 << operation
        return after
    }

    /// Nil when the operation is not over.
    func ending(_ operation: Int) -> Configuration? {
        guard over & 1 << operation != 0 else { return nil }
        var after = self
        after.over &= ~(1 << operation)
        return after
    }

    var isQuiet: Bool { called | over == 0 }

    /// After one step of somebody, provided that its outcome is what was seen.
    func next(_ operations: [ChannelOperation], _ outcomes: [ChannelOutcome?]) -> [Configuration] {
        var all: [Configuration] = []
        for operation in operations.indices where called & 1 << operation != 0 {
            for step in model.steps(of: operation, in: operations)
            where step.over.allSatisfy({ $0.outcome == outcomes[$0.operation] }) {
                var after = self
                after.model = step.after
                after.called &= ~(1 << operation)
                for completion in step.over { after.over |= 1 << completion.operation }
                all.append(after)
            }
        }
        return all
    }
}
