import CCSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The cause of a context that a signal has cancelled.
public struct SignalError: Error, Hashable, CustomStringConvertible {
    /// The signal's number.
    public let signal: Int32

    /// - Parameter signal: The signal's number, as SIGINT.
    public init(_ signal: Int32) { self.signal = signal }

    /// In Go's words: "interrupt signal received".
    public var description: String { "\(name) signal received" }

    private var name: String {
        switch signal {
        case SIGHUP: "hangup"
        case SIGINT: "interrupt"
        case SIGQUIT: "quit"
        case SIGUSR1: "user defined signal 1"
        case SIGUSR2: "user defined signal 2"
        case SIGPIPE: "broken pipe"
        case SIGALRM: "alarm clock"
        case SIGTERM: "terminated"
        case SIGCHLD: "child exited"
        case SIGCONT: "continued"
        case SIGTSTP: "stopped"
        case SIGWINCH: "window changed"
        default: "number \(signal)"
        }
    }
}

extension Context {
    /// A context that is cancelled, with a `SignalError` as its cause, when one of `signals` arrives (Go's `signal.NotifyContext`).
    ///
    /// ```swift
    /// let (context, cancel) = Context.notify(on: [SIGINT, SIGTERM])
    /// defer { cancel() }
    /// ```
    /// The signals do nothing else until `cancel` is called or nobody has the context any more, whether or not one has come: call `cancel`
    /// once the context is done to let a second Ctrl-C end the process. Of several contexts on a signal each is cancelled. With the
    /// last of them the signal means what it did before. While there are any, one thread sleeps for them.
    ///
    /// - Parameter signals: SIGKILL and SIGSTOP cannot be caught and are ignored here. Those that faults raise (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
    ///   SIGTRAP, SIGABRT) and numbers that are none trap.
    public static func notify(
        on signals: [Int32], parent: Context = .background
    ) -> (context: Context, cancel: CancelFunction) {
        parent.withSignals(signals)
    }
}

/// Signals as values (Go's package `os/signal`). For what is to end by one, see `Context.notify`.
public enum Signals {
    /// A channel that gets the numbers of `signals` as they arrive (Go's `signal.Notify`).
    ///
    /// ```swift
    /// let hangups = Signals.notify(SIGHUP)
    /// go { for _ in hangups { reload() } }
    /// ```
    /// The signals do nothing else until `stop` is called; then they mean what they did before. Each of several channels and contexts on a signal
    /// is told. One that arrives again before it was passed on counts once, and one that finds the channel full is dropped, as in Go.
    ///
    /// - Parameters:
    ///   - signals: As for `Context.notify`.
    ///   - capacity: How many the channel keeps for a receiver that is elsewhere; at least 1.
    public static func notify(_ signals: Int32..., capacity: Int = 16) -> ReceiveChannel<Int32> {
        notify(signals, capacity: capacity)
    }

    /// The same for an array.
    public static func notify(_ signals: [Int32], capacity: Int = 16) -> ReceiveChannel<Int32> {
        let channel = Channel<Int32>(capacity: max(1, capacity))
        _ = SignalRegistration(signals, channel)
        return ReceiveChannel(channel)
    }

    /// No more signals come to `channel`, which is from `notify` and is closed: what it has can still be received. The second time does nothing.
    public static func stop(_ channel: ReceiveChannel<Int32>) { SignalRegistration.end(for: channel.channel) }
}

/// A context's or a channel's part in the handling of signals, from its making until `end`.
@safe
final class SignalRegistration: Sendable {
    // SAFETY: (whole type) the variables are guarded by the lock.
    /// In ascending order.
    private let signals: [Int32]
    /// Of `Signals`.
    private let channel: Channel<Int32>?

    private static let lock = OwnedLock()
    // Guarded by the lock.
    /// To be cancelled; not the channel, so that a context which nobody has any more ends. Nil after `end`: it keeps us, too.
    nonisolated(unsafe) private var cancellation: Cancellation?
    nonisolated(unsafe) private static var all: [SignalRegistration] = []
    nonisolated(unsafe) private static var hasThread = false

    convenience init(_ signals: [Int32], _ cancellation: Cancellation) { self.init(signals, cancellation, nil) }

    convenience init(_ signals: [Int32], _ channel: Channel<Int32>) { self.init(signals, nil, channel) }

    private init(_ signals: [Int32], _ cancellation: Cancellation?, _ channel: Channel<Int32>?) {
        let faults = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT]
        for signal in signals where !(1...64).contains(signal) || faults.contains(signal) {
            fatal("panic: \(channel == nil ? "Context" : "Signals").notify: signal \(signal) cannot be waited for")
        }
        self.signals = Set(signals).sorted()
        self.channel = channel
        unsafe self.cancellation = cancellation
        begin()
    }

    private func begin() {
        Self.lock.lock()
        for signal in signals where unsafe !Self.all.contains(where: { $0.signals.contains(signal) }) {
            _ = csp_signal_catch(signal)
        }
        unsafe Self.all.append(self)
        if unsafe !Self.hasThread {
            unsafe Self.hasThread = true
            let error = unsafe csp_thread_start(64 << 10, "csp-signals", { _ in SignalRegistration.deliver() }, nil)
            if error != 0 { fatal("fatal error: no thread for signals: error \(error)") }
        }
        Self.lock.unlock()
    }

    static func end(for channel: Channel<Int32>) {
        lock.lock()
        let registration = unsafe all.first { $0.channel === channel }
        registration?.endLocked()
        lock.unlock()
        if registration != nil { channel.close() }
    }

    /// No signal is passed on any more. The second time does nothing.
    func end() {
        Self.lock.lock()
        let kept = unsafe cancellation.take()
        endLocked()
        Self.lock.unlock()
        withExtendedLifetime(kept) {}
    }

    private func endLocked() {
        if let place = unsafe Self.all.firstIndex(where: { $0 === self }) {
            unsafe Self.all.remove(at: place)
            for signal in signals where unsafe !Self.all.contains(where: { $0.signals.contains(signal) }) {
                csp_signal_release(signal)
            }
            if unsafe Self.all.isEmpty { csp_signal_interrupt() }
        }
    }

    /// The thread that handlers wake.
    private static func deliver() {
        while true {
            let pending = csp_signal_wait()
            lock.lock()
            if unsafe all.isEmpty {
                unsafe hasThread = false
                return lock.unlock()
            }
            // Whoever is in the list has not ended.
            var arrivals: [(Cancellation, Int32)] = []
            for registration in unsafe all {
                for signal in registration.signals where pending >> UInt64(signal - 1) & 1 != 0 {
                    if let cancellation = unsafe registration.cancellation { arrivals.append((cancellation, signal)) }
                    // Under the lock, since `end` closes the channel.
                    _ = registration.channel?.trySend(signal)
                }
            }
            lock.unlock()
            for (cancellation, signal) in arrivals { cancellation.cancel(.canceled, SignalError(signal)) }
        }
    }
}
