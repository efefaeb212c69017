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
    // Each channel gets its signals, in whatever order; `stop` closes it, and gives the signal its meaning back.
    "notify-channels": {
        let one = Signals.notify(SIGUSR1), both = Signals.notify([SIGUSR1, SIGUSR2], capacity: 1)
        let (context, cancel) = Context.notify(on: [SIGUSR1])
        kill(getpid(), SIGUSR1)
        print("one", one.receive()! == SIGUSR1 ? 1 : 0, "both", both.receive()! == SIGUSR1 ? 1 : 0)
        context.done.receive()
        cancel()
        kill(getpid(), SIGUSR2)
        print("two", both.receive()! == SIGUSR2 ? 1 : 0)
        // For the second there is no room.
        kill(getpid(), SIGUSR1)
        _ = one.receive()
        kill(getpid(), SIGUSR2)
        kill(getpid(), SIGUSR1)
        _ = one.receive()
        Signals.stop(both)
        Signals.stop(both)
        var left = 0
        for _ in both { left += 1 }
        print("left", left)
        Signals.stop(one)
        print("closed", one.receive() == nil ? 1 : 0)
        end(by: SIGUSR1)
    },
    // Channels that come and go beside a storm of signals: no signal finds a channel that was closed.
    "notify-channels-storm": {
        let done = SharedAtomic(0), rounds = SharedAtomic(0), workers = WaitGroup()
        let all = Signals.notify(SIGUSR1)
        go { while done.load() == 0 { kill(getpid(), SIGUSR1) } }
        for _ in 0..<8 {
            workers.go {
                for _ in 0..<200 {
                    let signals = Signals.notify(SIGUSR1)
                    signals.receive()
                    Signals.stop(signals)
                    rounds.add(1)
                }
            }
        }
        workers.wait()
        done.store(1)
        _ = all.receive()
        print("rounds", rounds.load())
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
    "notify-channel-of-none": { _ = Signals.notify(65) },
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
