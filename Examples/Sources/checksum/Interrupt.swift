import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Turns Ctrl-C (SIGINT) and SIGTERM into the closing of a channel, which any goroutine can select on.
struct Interrupt: Sendable {
    /// Closed by the first such signal. The second one ends the process, should stopping take too long.
    let channel = Channel<Never>()
    private let received = SharedAtomic<Int32>(0)

    /// What a shell expects of a program that a signal has ended: 130 for Ctrl-C.
    var exitStatus: Int32 { 128 + received.load() }

    /// To be called before anything starts a thread: threads inherit the mask of blocked signals, and the signals must be
    /// blocked in all of them for `sigwait` to be the one that gets them.
    static func watch() -> Interrupt {
        let interrupt = Interrupt()
        var signals = sigset_t()
        // SAFETY: `signals` and `thread` live through these calls, none of which keeps a pointer to them.
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGINT)
        unsafe sigaddset(&signals, SIGTERM)
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)

        // A plain thread, as it will wait for the rest of the program's life. Channels take threads as well as goroutines.
        let context = unsafe Unmanaged.passRetained(Watcher(interrupt: interrupt, signals: signals)).toOpaque()
        var thread = pthread_t()
        // SAFETY: the thread takes over the reference that `passRetained` made.
        let code = unsafe pthread_create(
            &thread, nil,
            { context in
                unsafe Unmanaged<Watcher>.fromOpaque(context!).takeRetainedValue().run()
            }, context)
        precondition(code == 0, "cannot start a thread: error \(code)")
        return interrupt
    }

    private final class Watcher {
        let interrupt: Interrupt
        var signals: sigset_t

        init(interrupt: Interrupt, signals: sigset_t) {
            self.interrupt = interrupt
            self.signals = signals
        }

        func run() -> Never {
            var number: Int32 = 0
            // SAFETY: both live through the call.
            unsafe sigwait(&signals, &number)
            interrupt.received.store(number)
            interrupt.channel.close()
            // From now on the signals do what they do to any program, here, where nothing can be interrupted half-way.
            _ = signal(SIGINT, SIG_DFL)
            _ = signal(SIGTERM, SIG_DFL)
            // SAFETY: `signals` lives through the call.
            unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            while true { pause() }
        }
    }
}
