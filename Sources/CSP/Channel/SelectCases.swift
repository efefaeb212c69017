/// Receives from a channel: the body gets the value, or nil from a channel that is closed and drained. A nil channel is never ready.
@frozen
public struct Receive<Element: ~Copyable, Output, Failure: Error>: ~Copyable, SelectCase {
    @usableFromInline let plan: _ReceivePlan<Element>
    @usableFromInline let channel: Channel<Element>?
    @usableFromInline let body: (consuming sending Element?) throws(Failure) -> Output

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(
        _ channel: borrowing Channel<Element>?, _ body: @escaping (consuming sending Element?) throws(Failure) -> Output
    ) {
        plan = _ReceivePlan(coreRef(channel))
        self.channel = copy channel
        self.body = body
    }

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(
        _ channel: ReceiveChannel<Element>?, _ body: @escaping (consuming sending Element?) throws(Failure) -> Output
    ) {
        self.init(channel?.channel, body)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public consuming func _takeApart() -> _SelectParts<
        _ReceivePlan<Element>, _ReceiveBody<Element, Output, Failure>, Channel<Element>?
    > {
        _SelectParts(plan, _ReceiveBody(body: body), channel, nil)
    }
}

/// See `_SelectPlan`.
@frozen
public struct _ReceivePlan<Element: ~Copyable>: _SelectPlan {
    @usableFromInline let channel: ChannelRef?
    /// See `_SelectPlan`.
    public let firstLook: _SelectScan

    @inlinable @inline(__always)
    init(_ channel: ChannelRef?) {
        self.channel = channel
        firstLook = .first(channel, Readiness.receivableBit)
    }

    /// The value.
    public typealias Slots = Element?
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var defaultIndex: Int { -1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public func secondLook() -> _SelectScan { .second(channel, Readiness.receivableBit) }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func attempt(_ index: Int, locked: Bool, _ slot: inout Element?) -> Bool {
        guard let channel else { return false }
        return channel.tryReceive(&slot, locked: locked)
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func describe(_ slot: inout Element?, into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the slot stays where it is until the select is done.
        let slot = unsafe withUnsafeMutablePointer(to: &slot) { UnsafeMutableRawPointer($0) }
        unsafe entries.initialize(to: channel == nil ? _SelectEntry(.never) : _SelectEntry(.receive, channel, slot))
    }
}

/// See `_SelectBodies`.
@frozen
public struct _ReceiveBody<Element: ~Copyable, Output, Failure: Error>: _SelectBodies {
    @usableFromInline let body: (consuming sending Element?) throws(Failure) -> Output

    @inlinable @inline(__always)
    init(body: @escaping (consuming sending Element?) throws(Failure) -> Output) {
        self.body = body
    }

    /// The value.
    public typealias Slots = Element?
    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable @inline(__always)
    public func finish(_ index: Int, _ slot: inout Element?) throws(Failure) -> Output {
        try body(unsafe UnsafeTransfer(slot.take()).value)
    }
}

/// Sends a value. A value that was not sent is released when the select ends. A nil channel is never ready; a closed one traps when chosen.
@frozen
public struct Send<Element: ~Copyable, Output, Failure: Error>: ~Copyable, SelectCase {
    @usableFromInline let plan: _SendPlan<Element>
    @usableFromInline let channel: Channel<Element>?
    @usableFromInline let body: () throws(Failure) -> Output
    @usableFromInline let value: Element?

    /// - Parameter body: Runs when this case is chosen, after the value has been sent.
    @inlinable @inline(__always)
    public init(
        _ value: consuming sending Element, to channel: borrowing Channel<Element>?,
        _ body: @escaping () throws(Failure) -> Output
    ) {
        plan = _SendPlan(coreRef(channel))
        self.channel = copy channel
        self.body = body
        self.value = consume value
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
    @inlinable @inline(__always)
    public consuming func _takeApart() -> _SelectParts<
        _SendPlan<Element>, _SendBody<Element, Output, Failure>, Channel<Element>?
    > {
        _SelectParts(plan, _SendBody(body: body), channel, value)
    }
}

/// See `_SelectPlan`.
@frozen
public struct _SendPlan<Element: ~Copyable>: _SelectPlan {
    @usableFromInline let channel: ChannelRef?
    /// See `_SelectPlan`.
    public let firstLook: _SelectScan

    @inlinable @inline(__always)
    init(_ channel: ChannelRef?) {
        self.channel = channel
        firstLook = .first(channel, Readiness.sendableBit)
    }

    /// The value.
    public typealias Slots = Element?
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var defaultIndex: Int { -1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public func secondLook() -> _SelectScan { .second(channel, Readiness.sendableBit) }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func attempt(_ index: Int, locked: Bool, _ slot: inout Element?) -> Bool {
        guard let channel else { return false }
        return channel.trySend(&slot, locked: locked)
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func describe(_ slot: inout Element?, into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the slot stays where it is until the select is done.
        if slot == nil { _fatalSpentSend() }
        let slot = unsafe withUnsafeMutablePointer(to: &slot) { UnsafeMutableRawPointer($0) }
        unsafe entries.initialize(to: channel == nil ? _SelectEntry(.never) : _SelectEntry(.send, channel, slot))
    }
}

/// See `_SelectBodies`.
@frozen
public struct _SendBody<Element: ~Copyable, Output, Failure: Error>: _SelectBodies {
    @usableFromInline let body: () throws(Failure) -> Output

    @inlinable @inline(__always)
    init(body: @escaping () throws(Failure) -> Output) {
        self.body = body
    }

    /// The value.
    public typealias Slots = Element?
    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable @inline(__always)
    public func finish(_ index: Int, _ slot: inout Element?) throws(Failure) -> Output { try body() }
}

/// Ready when `duration` has passed (Go's `case <-time.After(d)`). Costs one timer while the select waits.
@frozen
public struct After<Output, Failure: Error>: SelectCase {
    @usableFromInline let duration: Duration
    @usableFromInline let body: () throws(Failure) -> Output

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(_ duration: Duration, _ body: @escaping () throws(Failure) -> Output) {
        self.duration = duration
        self.body = body
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public consuming func _takeApart() -> _SelectParts<_AfterPlan, _PlainBody<Output, Failure>, Void> {
        _SelectParts(_AfterPlan(duration: duration), _PlainBody(body: body), (), ())
    }
}

/// See `_SelectPlan`.
@frozen
public struct _AfterPlan: _SelectPlan {
    @usableFromInline let duration: Duration

    @inlinable @inline(__always)
    init(duration: Duration) { self.duration = duration }

    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var defaultIndex: Int { -1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public var firstLook: _SelectScan { secondLook() }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public func secondLook() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func attempt(_ index: Int, locked: Bool, _ slot: inout Void) -> Bool { true }
    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func describe(_ slot: inout Void, into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the caller has room for an entry.
        unsafe entries.initialize(to: _SelectEntry(.after, nanoseconds: duration.clampedNanoseconds))
    }
}

/// Runs when no other case is ready, so that the select never waits.
@frozen
public struct Default<Output, Failure: Error>: SelectCase {
    @usableFromInline let body: () throws(Failure) -> Output

    /// - Parameter body: Runs when no other case is ready.
    @inlinable @inline(__always)
    public init(_ body: @escaping () throws(Failure) -> Output) { self.body = body }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public consuming func _takeApart() -> _SelectParts<_DefaultPlan, _PlainBody<Output, Failure>, Void> {
        _SelectParts(_DefaultPlan(), _PlainBody(body: body), (), ())
    }
}

/// See `_SelectPlan`.
@frozen
public struct _DefaultPlan: _SelectPlan {
    @inlinable @inline(__always) init() {}

    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var defaultIndex: Int { 0 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public var firstLook: _SelectScan { secondLook() }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public func secondLook() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func attempt(_ index: Int, locked: Bool, _ slot: inout Void) -> Bool { true }
    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func describe(_ slot: inout Void, into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the caller has room for an entry.
        unsafe entries.initialize(to: _SelectEntry(.byDefault))
    }
}

/// See `_SelectBodies`.
@frozen
public struct _PlainBody<Output, Failure: Error>: _SelectBodies {
    @usableFromInline let body: () throws(Failure) -> Output

    @inlinable @inline(__always)
    init(body: @escaping () throws(Failure) -> Output) { self.body = body }

    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable @inline(__always)
    public func finish(_ index: Int, _ slot: inout Void) throws(Failure) -> Output { try body() }
}

@inlinable @inline(__always)
func coreRef<Element: ~Copyable>(_ channel: borrowing Channel<Element>?) -> ChannelRef? {
    switch channel {
    case .some(let channel): channel.core
    case .none: nil
    }
}

@usableFromInline @inline(never)
func _fatalSpentSend() -> Never {
    fatal("panic: select: the value of this Send was already sent; make a new case for each select")
}
