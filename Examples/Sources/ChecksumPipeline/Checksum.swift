import CSP

/// Hashes every regular file of a directory tree, with a bounded number of goroutines:
///
///              ┌── queue ──▶ hash 0 … hash n-1 ──┐ each ticket's own channel
///     walk ────┤                                 ▼
///              └── order ────────────────────▶ collect ──▶ console
///
/// The hashers finish in any order, the sums are wanted in the walk's. So the walk gives each file a ticket with a channel
/// for its outcome, and sends it twice: to the hashers, whoever is free, and in order to the collector, which waits on each
/// ticket's channel in turn. The capacity of `order` bounds how far the hashers may run ahead of the slowest of them, and
/// with it the memory and the open directories.
///
/// Stopping goes one way: the collector alone decides that it is over (an error, an interrupt, the end) and closes `stop`,
/// which everyone upstream selects on. It returns when all of them have ended.
package struct Checksum {
    package struct Options: Sendable {
        /// How many files are hashed at once.
        package var jobs: Int
        /// Goes on behind a file that cannot be read.
        package var keepsGoing: Bool

        package init(jobs: Int = Scheduler.maxProcs, keepsGoing: Bool = false) {
            self.jobs = jobs
            self.keepsGoing = keepsGoing
        }
    }

    package enum Ending: Equatable, Sendable {
        /// All files were hashed, but for this many that could not be read.
        case finished(failures: Int)
        /// A file or directory could not be read, and it was not to keep going.
        case failed
        /// `interrupt` was closed first.
        case interrupted
    }

    private let root: BytePath
    private let options: Options

    package init(_ root: BytePath, options: Options = Options()) {
        precondition(options.jobs > 0, "at least one job is needed")
        self.root = root
        self.options = options
    }

    /// Blocks the calling goroutine or thread until the sums are written, or until a sum could not be written, for which it
    /// throws, or `interrupt` is closed. No goroutine that it started is left when it returns.
    package func run(console: Console = Console(), interrupt: Channel<Never>) throws(SystemError) -> Ending {
        let progress = Progress()
        let stop = Channel<Never>()
        let queue = Channel<Ticket>(capacity: options.jobs)
        let order = Channel<Ticket>(capacity: 64 + 4 * options.jobs)

        let goroutines = WaitGroup()
        defer {
            stop.close()
            goroutines.wait()
            console.eraseBar()
        }
        goroutines.go("walk") { [root] in
            walk(root, queue: queue.sender, order: order.sender, stop: stop)
        }
        for number in 0..<options.jobs {
            goroutines.go("hash \(number)") {
                hash(queue.receiver, progress: progress, stop: stop)
            }
        }
        if console.showsBar {
            goroutines.go("count") { [root] in progress.count(root, stop: stop) }
        }
        let collector = Collector(
            console: console, progress: progress, interrupt: interrupt, keepsGoing: options.keepsGoing)
        return try collector.run(order.receiver)
    }

    // MARK: Walk

    private func walk(
        _ root: BytePath, queue: SendChannel<Ticket>, order: SendChannel<Ticket>, stop: Channel<Never>
    ) {
        defer {
            queue.close()
            order.close()
        }
        for step in TreeWalk(root) {
            let ticket = Ticket(step: step)
            guard send(ticket, to: order, unless: stop) else { return }
            switch step {
            case .failure(let failure): ticket.outcome <- .failure(failure.error)
            case .file: guard send(ticket, to: queue, unless: stop) else { return }
            }
        }
    }

    private func send(_ ticket: Ticket, to channel: SendChannel<Ticket>, unless stop: Channel<Never>) -> Bool {
        select {
            Send(ticket, to: channel) { true }
            Receive(stop) { _ in false }
        }
    }

    // MARK: Hash

    private func hash(_ queue: ReceiveChannel<Ticket>, progress: Progress, stop: Channel<Never>) {
        var hasher = FileHasher()
        // Ends when the walk closes the queue, which it does soon after `stop`.
        for ticket in queue {
            guard case .file(let file) = ticket.step else { continue }
            ticket.outcome <- hasher.hash(file, progress: progress, stop: stop)
        }
    }
}

/// What the walk found, and where its outcome will be.
struct Ticket: Sendable {
    let step: TreeWalk.Step
    /// With room for the one outcome, so that nobody waits for a collector that has given up.
    let outcome = Channel<Outcome>(capacity: 1)
}
