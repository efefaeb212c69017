import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Programs that contexts tell of signals.
let signalPrograms: [String: @Sendable () -> Void] = [
    // The first signal cancels, with itself as the cause; after `cancel` the second one ends the process.
    "notify": {
        let (context, cancel) = Context.notify(on: [SIGINT, SIGTERM])
        let below = context.withCancel().context
        kill(getpid(), SIGTERM)
        below.done.receive()
        print("error", below.error!)
        print("cause", below.cause!)
        print("signal", (context.cause as! SignalError).signal)
        kill(getpid(), SIGTERM)
        cancel()
        end(by: SIGINT)
    },
    // Each of several contexts on a signal is cancelled, others are not, and what the signal meant comes back with the last of them.
    "notify-several": {
        _ = signal(SIGUSR1, SIG_IGN)
        let (first, cancelFirst) = Context.notify(on: [SIGUSR1, SIGUSR1])
        let (second, cancelSecond) = Context.notify(on: [SIGUSR2, SIGUSR1])
        let (other, cancelOther) = Context.notify(on: [SIGUSR2])
        kill(getpid(), SIGUSR1)
        first.done.receive()
        second.done.receive()
        print("other", other.error == nil ? 0 : 1)
        cancelFirst()
        cancelSecond()
        kill(getpid(), SIGUSR1)
        Time.sleep(for: .milliseconds(20))
        print("ignored", 1)
        kill(getpid(), SIGUSR2)
        other.done.receive()
        print("signal", (other.cause as! SignalError).signal - SIGUSR2)
        cancelOther()
        end(by: SIGUSR2)
    },
    // Without anybody who has the context, the signal means what it did.
    "notify-dropped": {
        do { _ = Context.notify(on: [SIGINT]).context }
        end(by: SIGINT)
    },
    // The parent's end ends it, too; and the signal then still does nothing until `cancel`.
    "notify-below": {
        let (parent, cancelParent) = Context.background.withCancel()
        let (context, cancel) = Context.notify(on: [SIGINT], parent: parent)
        cancelParent()
        context.done.receive()
        kill(getpid(), SIGINT)
        Time.sleep(for: .milliseconds(20))
        print("cause", context.cause!)
        cancel()
        end(by: SIGINT)
    },
    // A storm of signals beside contexts that come and go.
    "notify-storm": {
        let (all, cancelAll) = Context.notify(on: [SIGUSR1])
        let done = Channel<Never>(), rounds = SharedAtomic(0)
        go {
            while Attempt(done.tryReceive()) == .empty {
                kill(getpid(), SIGUSR1)
                Time.sleep(for: .microseconds(50))
            }
            cancelAll()
        }
        let workers = WaitGroup()
        for _ in 0..<8 {
            workers.go {
                for _ in 0..<100 {
                    let (context, cancel) = Context.notify(on: [SIGUSR1])
                    context.done.receive()
                    cancel()
                    rounds.add(1)
                }
            }
        }
        workers.wait()
        done.close()
        print("rounds", rounds.load())
        print("all", (all.cause as? SignalError)?.signal == SIGUSR1 ? 1 : 0)
    },
    "notify-of-a-fault": { _ = Context.notify(on: [SIGSEGV]) },
    "notify-of-none": { _ = Context.notify(on: [0]) },
]

private enum Attempt {
    case empty, closed
    init(_ attempt: ReceiveAttempt<Never>) {
        switch attempt {
        case .empty: self = .empty
        case .closed: self = .closed
        }
    }
}

private func end(by signal: Int32) {
    _ = fflush(nil)
    kill(getpid(), signal)
    Time.sleep(for: .seconds(60))
}
