/// Receives from a channel: the body gets the value, or nil from a channel that is closed and drained. A nil channel is never ready.
@frozen
public struct Receive<Element: ~Copyable, Output, Failure: Error>: ~Copyable, SelectCase {
    @usableFromInline let channel: Channel<Element>?
    @usableFromInline let body: (consuming sending Element?) throws(Failure) -> Output
    @usableFromInline var slot: Element?

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(
        _ channel: Channel<Element>?, _ body: @escaping (consuming sending Element?) throws(Failure) -> Output
    ) {
        self.channel = channel
        self.body = body
        slot = nil
    }

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(
        _ channel: ReceiveChannel<Element>?, _ body: @escaping (consuming sending Element?) throws(Failure) -> Output
    ) {
        self.init(channel?.channel, body)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _count: Int { 1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _defaultIndex: Int { -1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public func _scan() -> _SelectScan {
        _SelectScan(channel?.core, Readiness.receivableBit)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _attempt(_ index: Int, locked: Bool) -> Bool {
        guard let channel else { return false }
        // SAFETY: the slot outlives the operation.
        return unsafe withUnsafeMutablePointer(to: &slot) { slot in
            if !locked { channel.core.lock() }
            if unsafe channel.receiveLocked(slot) { return true }
            channel.core.unlock()
            return false
        }
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the case stays where it is until the select is done; its fields have fixed places in it.
        let slot = unsafe withUnsafeMutablePointer(to: &slot) { UnsafeMutableRawPointer($0) }
        unsafe entries.initialize(
            to: channel == nil ? _SelectEntry(.never) : _SelectEntry(.receive, channel!.core, slot))
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output {
        try body(unsafe UnsafeTransfer(slot.take()).value)
    }
}

/// Sends a value. A value that was not sent is released when the select ends. A nil channel is never ready; a closed one traps when chosen.
@frozen
public struct Send<Element: ~Copyable, Output, Failure: Error>: ~Copyable, SelectCase {
    @usableFromInline let channel: Channel<Element>?
    @usableFromInline let body: () throws(Failure) -> Output
    @usableFromInline var slot: Element?

    /// - Parameter body: Runs when this case is chosen, after the value has been sent.
    @inlinable @inline(__always)
    public init(
        _ value: consuming sending Element, to channel: Channel<Element>?,
        _ body: @escaping () throws(Failure) -> Output
    ) {
        self.channel = channel
        self.body = body
        slot = consume value
    }

    /// - Parameter body: Runs when this case is chosen, after the value has been sent.
    @inlinable @inline(__always)
    public init(
        _ value: consuming sending Element, to channel: SendChannel<Element>?,
        _ body: @escaping () throws(Failure) -> Output
    ) {
        self.init(value, to: channel?.channel, body)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _count: Int { 1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _defaultIndex: Int { -1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public func _scan() -> _SelectScan {
        _SelectScan(channel?.core, Readiness.sendableBit)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _attempt(_ index: Int, locked: Bool) -> Bool {
        guard let channel else { return false }
        // SAFETY: the slot outlives the operation.
        return unsafe withUnsafeMutablePointer(to: &slot) { slot in
            if !locked { channel.core.lock() }
            if unsafe channel.sendLocked(slot) { return true }
            channel.core.unlock()
            return false
        }
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the case stays where it is until the select is done; its fields have fixed places in it.
        if slot == nil { _fatalSpentSend() }
        let slot = unsafe withUnsafeMutablePointer(to: &slot) { UnsafeMutableRawPointer($0) }
        unsafe entries.initialize(to: channel == nil ? _SelectEntry(.never) : _SelectEntry(.send, channel!.core, slot))
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output { try body() }
}

/// Ready when `duration` has passed (Go's `case <-time.After(d)`). Costs one timer while the select waits.
@frozen
public struct After<Output, Failure: Error>: ~Copyable, SelectCase {
    // SAFETY: (whole type) `entries` has room for as many entries as `_count` says.
    @usableFromInline let duration: Duration
    @usableFromInline let body: () throws(Failure) -> Output

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(_ duration: Duration, _ body: @escaping () throws(Failure) -> Output) {
        self.duration = duration
        self.body = body
    }

    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _count: Int { 1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _defaultIndex: Int { -1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public func _scan() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    /// See `SelectCase`.
    @inlinable @inline(__always) public mutating func _attempt(_ index: Int, locked: Bool) -> Bool { true }
    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        unsafe entries.initialize(to: _SelectEntry(.after, nanoseconds: duration.clampedNanoseconds))
    }
    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output { try body() }
}

/// Runs when no other case is ready, so that the select never waits.
@frozen
public struct Default<Output, Failure: Error>: ~Copyable, SelectCase {
    // SAFETY: (whole type) `entries` has room for as many entries as `_count` says.
    @usableFromInline let body: () throws(Failure) -> Output

    /// - Parameter body: Runs when no other case is ready.
    @inlinable @inline(__always)
    public init(_ body: @escaping () throws(Failure) -> Output) { self.body = body }

    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _count: Int { 1 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _defaultIndex: Int { 0 }
    /// See `SelectCase`.
    @inlinable @inline(__always) public func _scan() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    /// See `SelectCase`.
    @inlinable @inline(__always) public mutating func _attempt(_ index: Int, locked: Bool) -> Bool { true }
    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        unsafe entries.initialize(to: _SelectEntry(.byDefault))
    }
    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output { try body() }
}

@usableFromInline @inline(never)
func _fatalSpentSend() -> Never {
    fatal("panic: select: the value of this Send was already sent; make a new case for each select")
}
