// Channels in Swift tasks.

extension Channel where Element: ~Copyable {
    /// Sends `value` from a Swift task: suspends until a receiver takes it or the buffer has room. Traps if the channel is or becomes closed.
    /// - Throws: `CancellationError`, with nothing sent and the value released, when the task is cancelled first.
    /// - Complexity: O(1); one allocation if it suspends.
    @inlinable
    nonisolated(nonsending)
        public func send(_ value: consuming sending Element) async throws(CancellationError)
    {
        if Task.isCancelled { throw CancellationError() }
        var slots = _Placed<Element?>(consume value)
        if trySendSlot(&slots.value) { return }
        let index = await _chooseSuspending(_SendPlan<Element>(core), &slots)
        withExtendedLifetime(self) {}
        if index < 0 { throw CancellationError() }
    }

    /// The next value; nil once the channel is closed and drained. Suspends the Swift task until there is one.
    /// - Throws: `CancellationError`, with nothing taken, when the task is cancelled first.
    /// - Complexity: O(1); one allocation if it suspends.
    @discardableResult
    @inlinable
    nonisolated(nonsending)
        public func receive() async throws(CancellationError) -> sending Element?
    {
        if Task.isCancelled { throw CancellationError() }
        var slots = _Placed<Element?>(nil)
        if !(core.mayReceive() && core.tryReceive(&slots.value, locked: false)) {
            let index = await _chooseSuspending(_ReceivePlan<Element>(core), &slots)
            if index < 0 { throw CancellationError() }
        }
        withExtendedLifetime(self) {}
        // SAFETY: it was sent to us.
        return unsafe UnsafeTransfer(slots.value.take()).value
    }
}

extension SendChannel where Element: ~Copyable {
    /// As `Channel.send` in a Swift task.
    @inlinable
    nonisolated(nonsending)
        public func send(_ value: consuming sending Element) async throws(CancellationError)
    {
        try await channel.send(value)
    }
}

extension ReceiveChannel where Element: ~Copyable {
    /// As `Channel.receive` in a Swift task.
    @discardableResult
    @inlinable
    nonisolated(nonsending)
        public func receive() async throws(CancellationError) -> sending Element?
    {
        try await channel.receive()
    }
}

// MARK: for await

extension Channel: AsyncSequence where Element: Copyable {
    /// Receives until the channel is closed and drained.
    @frozen
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let channel: Channel<Element>

        @inlinable
        init(_ channel: Channel<Element>) { self.channel = channel }

        /// The next value; nil once the channel is closed and drained. Suspends as `receive` does.
        @inlinable
        nonisolated(nonsending)
            public mutating func next() async throws(CancellationError) -> sending Element?
        {
            try await channel.receive()
        }

        /// The same, on the given actor.
        @inlinable
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(CancellationError) -> sending Element? {
            try await channel.receive()
        }
    }

    /// `for try await value in channel`: Go's `range` in a Swift task.
    @inlinable
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

extension ReceiveChannel: AsyncSequence where Element: Copyable {
    /// `for try await value in channel`: Go's `range` in a Swift task.
    @inlinable
    public func makeAsyncIterator() -> Channel<Element>.AsyncIterator { Channel<Element>.AsyncIterator(channel) }
}
