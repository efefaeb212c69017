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

/// A context's part in the handling of signals, from its making until `end`.
@safe
final class SignalRegistration: Sendable {
    // SAFETY: (whole type) the variables are guarded by the lock.
    /// In ascending order.
    private let signals: [Int32]

    private static let lock = OwnedLock()
    // Guarded by the lock.
    /// To be cancelled; not the channel, so that a context which nobody has any more ends. Nil after `end`: it keeps us, too.
    nonisolated(unsafe) private var cancellation: Cancellation?
    nonisolated(unsafe) private static var all: [SignalRegistration] = []
    nonisolated(unsafe) private static var hasThread = false

    init(_ signals: [Int32], _ cancellation: Cancellation) {
        let faults = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT]
        for signal in signals where !(1...64).contains(signal) || faults.contains(signal) {
            fatal("panic: Context.notify: signal \(signal) cannot be waited for")
        }
        self.signals = Set(signals).sorted()
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

    /// No signal cancels the context any more. The second time does nothing.
    func end() {
        Self.lock.lock()
        let kept = unsafe cancellation.take()
        if let place = unsafe Self.all.firstIndex(where: { $0 === self }) {
            unsafe Self.all.remove(at: place)
            for signal in signals where unsafe !Self.all.contains(where: { $0.signals.contains(signal) }) {
                csp_signal_release(signal)
            }
            if unsafe Self.all.isEmpty { csp_signal_interrupt() }
        }
        Self.lock.unlock()
        withExtendedLifetime(kept) {}
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
            let arrivals = unsafe all.compactMap { registration in
                registration.signals.first { pending >> UInt64($0 - 1) & 1 != 0 }
                    .map { unsafe (cancellation: registration.cancellation!, signal: $0) }
            }
            lock.unlock()
            for (cancellation, signal) in arrivals { cancellation.cancel(.canceled, SignalError(signal)) }
        }
    }
}
