/// The sending half of a channel (Go's `chan<- T`): it cannot receive.
@frozen
public struct SendChannel<Element: ~Copyable>: Sendable {
    @usableFromInline let channel: Channel<Element>

    @inlinable
    init(_ channel: Channel<Element>) { self.channel = channel }

    /// As `Channel.send`.
    @available(*, noasync) @inlinable
    public func send(_ value: consuming sending Element) { channel.send(value) }

    /// As `Channel.trySend`.
    @inlinable
    public func trySend(_ value: consuming sending Element) -> Bool { channel.trySend(value) }

    /// As `Channel.trySend(from:)`.
    @inlinable
    public func trySend(from slot: inout sending Element?) -> Bool { channel.trySend(from: &slot) }

    /// As `Channel.close`.
    public func close() { channel.close() }
    /// As `Channel.count`.
    public var count: Int { channel.count }
    /// As `Channel.capacity`.
    public var capacity: Int { channel.capacity }
}

/// The receiving half of a channel (Go's `<-chan T`): it cannot send or close.
@frozen
public struct ReceiveChannel<Element: ~Copyable>: Sendable {
    @usableFromInline let channel: Channel<Element>

    @inlinable
    init(_ channel: Channel<Element>) { self.channel = channel }

    /// As `Channel.receive`.
    @available(*, noasync) @discardableResult @inlinable
    public func receive() -> sending Element? { channel.receive() }

    /// As `Channel.tryReceive`.
    @inlinable
    public func tryReceive() -> sending ReceiveAttempt<Element> { channel.tryReceive() }

    /// As `Channel.count`.
    public var count: Int { channel.count }
    /// As `Channel.capacity`.
    public var capacity: Int { channel.capacity }
}

extension SendChannel: Hashable where Element: ~Copyable {
    /// True when both are halves of the same channel.
    public static func == (a: SendChannel, b: SendChannel) -> Bool { a.channel === b.channel }
    /// By identity.
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(channel)) }
}

extension ReceiveChannel: Hashable where Element: ~Copyable {
    /// True when both are halves of the same channel.
    public static func == (a: ReceiveChannel, b: ReceiveChannel) -> Bool { a.channel === b.channel }
    /// By identity.
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(channel)) }
}

// MARK: for-in

extension Channel: Sequence where Element: Copyable {
    /// Receives until the channel is closed and drained.
    @frozen
    public struct Iterator: IteratorProtocol {
        @usableFromInline let channel: Channel<Element>

        @inlinable
        init(_ channel: Channel<Element>) { self.channel = channel }

        /// The next value; nil once the channel is closed and drained. Blocks as `receive` does.
        @inlinable
        public mutating func next() -> sending Element? { channel.receiveForIteration() }
    }

    /// `for value in channel`: Go's `range`.
    @available(*, noasync) @inlinable
    public func makeIterator() -> Iterator { Iterator(self) }

    @inlinable @inline(__always)
    func receiveForIteration() -> sending Element? { receive() }
}

extension ReceiveChannel: Sequence where Element: Copyable {
    /// `for value in channel`: Go's `range`.
    @available(*, noasync) @inlinable
    public func makeIterator() -> Channel<Element>.Iterator { Channel<Element>.Iterator(channel) }
}

// MARK: Operators

infix operator <- : AssignmentPrecedence
prefix operator <-

/// `channel <- value`: sends.
@available(*, noasync) @inlinable
public func <- <E: ~Copyable>(channel: Channel<E>, value: consuming sending E) { channel.send(value) }

/// `channel <- value`: sends.
@available(*, noasync) @inlinable
public func <- <E: ~Copyable>(channel: SendChannel<E>, value: consuming sending E) { channel.send(value) }

/// `<-channel`: receives; nil once the channel is closed and drained.
@available(*, noasync) @discardableResult @inlinable
public prefix func <- <E: ~Copyable>(channel: Channel<E>) -> sending E? { channel.receive() }

/// `<-channel`: receives; nil once the channel is closed and drained.
@available(*, noasync) @discardableResult @inlinable
public prefix func <- <E: ~Copyable>(channel: ReceiveChannel<E>) -> sending E? { channel.receive() }
