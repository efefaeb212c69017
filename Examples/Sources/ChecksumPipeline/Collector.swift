import CSP

/// The end of the pipeline: writes the sums in the walk's order, draws the bar, and decides when it is over.
struct Collector {
    private let console: Console
    private let progress: Progress
    private let interrupt: Channel<Never>
    private let keepsGoing: Bool
    /// Nil without a bar: a case of a select that has no channel is never ready.
    private let ticker: Time.Ticker?
    private let start = ContinuousClock.now

    init(console: Console, progress: Progress, interrupt: Channel<Never>, keepsGoing: Bool) {
        self.console = console
        self.progress = progress
        self.interrupt = interrupt
        self.keepsGoing = keepsGoing
        ticker = console.showsBar ? Time.Ticker(.milliseconds(100)) : nil
    }

    func run(_ order: ReceiveChannel<Ticket>) throws(SystemError) -> Checksum.Ending {
        defer { ticker?.stop() }
        let ending = try collect(order)
        try console.flush()
        return ending
    }

    private func collect(_ order: ReceiveChannel<Ticket>) throws(SystemError) -> Checksum.Ending {
        var failures = 0
        while true {
            let ticket: Ticket
            switch try wait(for: order) {
            case .value(let next): ticket = next
            case .closed: return .finished(failures: failures)
            case .interrupted: return .interrupted
            }
            switch try wait(for: ticket.outcome.receiver) {
            case .value(.digest(let digest)):
                try console.add(sum: SumLine.bytes(digest: digest, path: ticket.step.path))
            case .value(.failure(let error)):
                try console.flush()
                console.report("\(FileFailure(path: ticket.step.path, error: error))")
                guard keepsGoing else { return .failed }
                failures += 1
            case .value(.abandoned), .closed:
                preconditionFailure("only the collector stops the pipeline, and no outcome's channel is closed")
            case .interrupted:
                return .interrupted
            }
        }
    }

    // MARK: Waiting

    private enum Arrival<Element: Sendable>: Sendable {
        case value(Element), closed, interrupted
    }

    /// The channel's next value; an interrupt comes first. Meanwhile the bar moves, and finished lines are written.
    private func wait<Element>(for channel: ReceiveChannel<Element>) throws(SystemError) -> Arrival<Element> {
        // Looked at even when there is always a value: an interrupt must not wait for the end of the tree.
        if isClosed(interrupt) { return .interrupted }
        if case .value = ticker?.channel.tryReceive() { try draw() }
        switch channel.tryReceive() {
        case .value(let value): return .value(value)
        case .closed: return .closed
        case .empty: try console.flushBeforeWaiting()
        }
        while true {
            let arrival = select {
                Receive(channel) { value -> Arrival<Element>? in if let value { .value(value) } else { .closed } }
                Receive(interrupt) { _ -> Arrival<Element>? in .interrupted }
                Receive(ticker?.channel) { _ -> Arrival<Element>? in nil }
            }
            if let arrival { return arrival }
            try draw()
        }
    }

    private func draw() throws(SystemError) {
        try console.draw(progress.snapshot(elapsed: ContinuousClock.now - start))
    }
}
