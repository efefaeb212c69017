/// One case of a `select`: `Receive`, `Send`, `After`, `Default`, or several of them. Not for conformances of your own.
///
/// Cases are noncopyable: a `Send` owns its value. A case lives on the selecting stack and works by its own address there.
public protocol SelectCase<Output, Failure>: ~Copyable {
    /// What the body returns.
    associatedtype Output
    /// What the body throws.
    associatedtype Failure: Error
    /// Plain cases in it.
    static var _count: Int { get }
    /// Whether there is a `Default` in it.
    static var _hasDefault: Bool { get }
    /// Looks at the channels without locks.
    func _scan() -> _SelectScan
    /// Tries to complete the plain case `index` now. False when that would have to wait.
    mutating func _attempt(_ index: Int, locked: Bool) -> Bool
    /// Describes the plain cases for the case that one has to wait.
    mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>)
    /// Runs the body of the plain case `index`, which has completed.
    mutating func _finish(_ index: Int) throws(Failure) -> Output
}

/// What a look at a select's channels has seen.
@frozen
public struct _SelectScan {
    /// A bit for each plain case that might be ready. Sixty-four at the most; a static select has fewer.
    public var ready: UInt64
    /// The sum of the channels' versions. Versions only grow, so that equal sums mean that none has changed.
    public var versions: UInt64

    @inlinable @inline(__always)
    init(ready: UInt64, versions: UInt64) {
        self.ready = ready
        self.versions = versions
    }

    @inlinable @inline(__always)
    init(_ channel: ChannelRef?, _ bit: UInt32) {
        guard let channel else {
            self.init(ready: 0, versions: 0)
            return
        }
        let word = channel.lockWord.peek()
        // A lock that is held may be about to publish readiness: worth a try.
        self.init(ready: word & (bit | LockWord.held) != 0 ? 1 : 0, versions: UInt64(word >> 3))
    }
}

/// A case as the type-free part of select sees it.
@frozen
public struct _SelectEntry {
    @usableFromInline
    @frozen
    enum Kind { case receive, send, after, byDefault, never }

    @usableFromInline var kind: Kind
    @usableFromInline var channel: ChannelRef?
    @usableFromInline var slot: UnsafeMutableRawPointer?
    /// For `.after`.
    @usableFromInline var nanoseconds: Int64 = 0

    @inlinable @inline(__always)
    init(_ kind: Kind, _ channel: ChannelRef? = nil, _ slot: UnsafeMutableRawPointer? = nil, nanoseconds: Int64 = 0) {
        self.kind = kind
        self.channel = channel
        unsafe self.slot = unsafe slot
        self.nanoseconds = nanoseconds
    }
}

// MARK: The cases

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

    @inlinable @inline(__always) public static var _count: Int { 1 }
    @inlinable @inline(__always) public static var _hasDefault: Bool { false }
    @inlinable @inline(__always) public func _scan() -> _SelectScan { _SelectScan(channel?.core, Readiness.receivableBit) }

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

    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the case stays where it is until the select is done; its fields have fixed places in it.
        let slot = unsafe withUnsafeMutablePointer(to: &slot) { unsafe UnsafeMutableRawPointer($0) }
        unsafe entries.initialize(to: channel == nil ? _SelectEntry(.never) : _SelectEntry(.receive, channel!.core, slot))
    }

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
        _ value: consuming sending Element, to channel: Channel<Element>?, _ body: @escaping () throws(Failure) -> Output
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

    @inlinable @inline(__always) public static var _count: Int { 1 }
    @inlinable @inline(__always) public static var _hasDefault: Bool { false }
    @inlinable @inline(__always) public func _scan() -> _SelectScan { _SelectScan(channel?.core, Readiness.sendableBit) }

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

    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the case stays where it is until the select is done; its fields have fixed places in it.
        let slot = unsafe withUnsafeMutablePointer(to: &slot) { unsafe UnsafeMutableRawPointer($0) }
        unsafe entries.initialize(to: channel == nil ? _SelectEntry(.never) : _SelectEntry(.send, channel!.core, slot))
    }

    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output { try body() }
}

/// Ready when `duration` has passed (Go's `case <-time.After(d)`). Costs one timer while the select waits.
@frozen
public struct After<Output, Failure: Error>: ~Copyable, SelectCase {
    @usableFromInline let duration: Duration
    @usableFromInline let body: () throws(Failure) -> Output

    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init(_ duration: Duration, _ body: @escaping () throws(Failure) -> Output) {
        self.duration = duration
        self.body = body
    }

    @inlinable @inline(__always) public static var _count: Int { 1 }
    @inlinable @inline(__always) public static var _hasDefault: Bool { false }
    @inlinable @inline(__always) public func _scan() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    @inlinable @inline(__always) public mutating func _attempt(_ index: Int, locked: Bool) -> Bool { true }
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        unsafe entries.initialize(to: _SelectEntry(.after, nanoseconds: duration.clampedNanoseconds))
    }
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output { try body() }
}

/// Runs when no other case is ready, so that the select never waits.
@frozen
public struct Default<Output, Failure: Error>: ~Copyable, SelectCase {
    @usableFromInline let body: () throws(Failure) -> Output

    /// - Parameter body: Runs when no other case is ready.
    @inlinable @inline(__always)
    public init(_ body: @escaping () throws(Failure) -> Output) { self.body = body }

    @inlinable @inline(__always) public static var _count: Int { 1 }
    @inlinable @inline(__always) public static var _hasDefault: Bool { true }
    @inlinable @inline(__always) public func _scan() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    @inlinable @inline(__always) public mutating func _attempt(_ index: Int, locked: Bool) -> Bool { true }
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        unsafe entries.initialize(to: _SelectEntry(.byDefault))
    }
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output { try body() }
}
