extension Time {
    /// Fires once, when a duration has passed.
    ///
    /// Go 1.23's rules: after `stop` or `reset` has returned, no value of the earlier setting is received; and a timer whose channel
    /// nobody has any more is released, stopped or not.
    ///
    /// Copies are the same timer.
    public struct Timer: Sendable {
        private let function: FunctionTimer?
        private let target: Channel<Instant>?

        /// Sends the time on `channel` after `duration`.
        public init(_ duration: Duration) {
            function = nil
            target = ChannelTimer.channel(deadline: Clock.deadline(after: duration), period: 0)
        }

        /// Runs `body` in a goroutine of its own after `duration`, even if nobody keeps the timer (Go's `AfterFunc`).
        public init(_ duration: Duration, run body: sending @escaping () -> Void) {
            function = FunctionTimer(Clock.deadline(after: duration), body)
            target = nil
        }

        /// Gets the time when the timer fires. Traps for a timer that runs a function.
        public var channel: ReceiveChannel<Instant> {
            guard let target else { fatal("panic: Time.Timer(_:run:) has no channel") }
            return target.receiver
        }

        /// True if this call stops the timer; false if it had fired (its value received, its function started) or was stopped.
        /// Does not wait for a function that runs.
        @discardableResult
        public func stop() -> Bool { set(to: nil) }

        /// Fires after `duration` from now, instead of when it would have. True if the timer was still going to fire, or its value had
        /// not been received.
        @discardableResult
        public func reset(_ duration: Duration) -> Bool { set(to: Clock.deadline(after: duration)) }

        private func set(to deadline: Int64?) -> Bool {
            if let function { return function.set(to: deadline) }
            // SAFETY: the channel owns its timer, and we keep the channel.
            return unsafe ChannelTimer.set(target!.core.core.timer!, to: deadline)
        }
    }

    /// Sends the time at regular intervals; drops ticks for a slow receiver.
    ///
    /// Copies are the same ticker.
    public struct Ticker: Sendable {
        private let target: Channel<Instant>

        /// Traps when `period` is not positive.
        public init(_ period: Duration) {
            if period <= .zero { fatal("panic: non-positive interval for NewTicker") }
            target = ChannelTimer.channel(
                deadline: Clock.deadline(after: period), period: period.clampedNanoseconds)
        }

        /// Gets the time of each tick. Never closed.
        public var channel: ReceiveChannel<Instant> { target.receiver }

        /// No tick is received any more. The channel stays open.
        public func stop() {
            // SAFETY: the channel owns its timer, and we keep the channel.
            _ = unsafe ChannelTimer.set(target.core.core.timer!, to: nil)
        }

        /// Goes on with `period`, from now. Traps when it is not positive.
        public func reset(_ period: Duration) {
            if period <= .zero { fatal("panic: non-positive interval for Ticker.Reset") }
            // SAFETY: as in `stop`.
            _ = unsafe ChannelTimer.set(
                target.core.core.timer!, to: Clock.deadline(after: period), period: period.clampedNanoseconds)
        }
    }
}
