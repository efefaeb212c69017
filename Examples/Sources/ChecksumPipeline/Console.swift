/// All that the user sees: the sums, the messages, and the progress bar.
///
/// One goroutine owns it, so no two lines ever mix. A line is written whole or, if the write fails, the failure is thrown.
package final class Console {
    private let sums: Int32
    private let messages: Int32
    private let sumsAreOnTerminal: Bool
    /// Asked anew for each bar: the window may have changed.
    private let barWidth: () -> Int?

    /// Whole lines that are still to be written to `sums`.
    private var pending: [UInt8] = []
    private var barIsVisible = false

    /// What `pending` may grow to before it is written, whatever else happens.
    private static let pendingLimit = 1 << 16

    /// Takes two open file descriptors, which it does not close. There is a bar if `messages` is a terminal.
    package init(sums: Int32 = 1, messages: Int32 = 2) {
        self.sums = sums
        self.messages = messages
        sumsAreOnTerminal = terminalWidth(sums) != nil
        barWidth = { terminalWidth(messages) }
    }

    var showsBar: Bool { barWidth() != nil }

    func add(sum line: [UInt8]) throws(SystemError) {
        pending += line
        if pending.count >= Self.pendingLimit { try flush() }
    }

    /// Called before each wait, so that a reader at the other end of a pipe is not kept from what is ready.
    func flushBeforeWaiting() throws(SystemError) {
        // With a bar on the same terminal, the next tick does it: the bar would flicker otherwise.
        if !(barIsVisible && sumsAreOnTerminal) { try flush() }
    }

    func flush() throws(SystemError) {
        guard !pending.isEmpty else { return }
        if sumsAreOnTerminal { eraseBar() }
        // Not to be written again should this fail half-way.
        let lines = pending
        pending.removeAll(keepingCapacity: true)
        try writeAll(lines, to: sums)
    }

    /// A line for stderr. Flush first, so that it comes after the sums of the files before it.
    package func report(_ message: String) {
        eraseBar()
        // With stderr gone there is nobody to tell; the exit status still does.
        try? writeAll(Array("checksum: \(message)\n".utf8), to: messages)
    }

    func draw(_ progress: ProgressSnapshot) throws(SystemError) {
        try flush()
        guard let width = barWidth() else { return }
        // The last column stays free: many terminals wrap once it is written to.
        try? writeAll(Array("\r\u{1B}[K\(progress.line(width: max(0, width - 1)))".utf8), to: messages)
        barIsVisible = true
    }

    func eraseBar() {
        guard barIsVisible else { return }
        try? writeAll(Array("\r\u{1B}[K".utf8), to: messages)
        barIsVisible = false
    }
}
