/// A typed pipe between goroutines, threads and tasks (Go's `chan T`).
///
/// Reference semantics: two channels are equal when they are the same. Unbuffered (capacity 0), a send waits for a receiver;
/// buffered, only while the buffer is full. Waiters are served first in, first out. The k-th receive completes before the
/// (k + capacity)-th send does; close happens before a receive that returns nil because of it (https://go.dev/ref/mem#chan).
public final class Channel<Element: ~Copyable>: Sendable {
    // SAFETY: (whole type) the core and its buffer live as long as the channel; slots outlive the operation. The lifetime of `self` is extended
    // to the end of each operation, since the core is used by its address.
    // The core must be first: its address is that of the object and the header, which spares a load and the checks for exclusive access.
    nonisolated(unsafe) private var storage: ChannelCore
    /// The buffer, if it is no larger.
    nonisolated(unsafe) private var room: (UInt64, UInt64) = (0, 0)

    @usableFromInline var core: ChannelRef {
        @inlinable @inline(__always) get {
            unsafe ChannelRef(
                (Unmanaged.passUnretained(self).toOpaque() + Self.headerSize).assumingMemoryBound(to: ChannelCore.self))
        }
    }

    /// Bytes of a native Swift object before its first property.
    @usableFromInline static var headerSize: Int { @inlinable @inline(__always) get { 16 } }

    /// - Parameter capacity: Elements that the buffer holds; negative traps.
    public init(capacity: Int = 0) {
        let (size, overflow) = capacity.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard capacity >= 0, !overflow else { fatal("panic: makechan: size out of range") }
        unsafe storage = ChannelCore(capacity: capacity)
        guard core.core.capacity == capacity, unsafe roomAddress == UnsafeMutableRawPointer(core.pointer + 1) else {
            fatalUnknownLayout()
        }
        if capacity == 0 { return }
        if unsafe size <= MemoryLayout.size(ofValue: room),
            unsafe UInt(bitPattern: roomAddress) % UInt(MemoryLayout<Element>.alignment) == 0
        {
            unsafe core.core.buffer = unsafe roomAddress
        } else {
            core.core.ownsBuffer = true
            unsafe core.core.buffer = .allocate(
                byteCount: size, alignment: Swift.max(16, MemoryLayout<Element>.alignment))
        }
    }

    private var roomAddress: UnsafeMutableRawPointer {
        unsafe withUnsafeMutablePointer(to: &room) { UnsafeMutableRawPointer($0) }
    }

    deinit {
        if let timer = unsafe core.core.timer { unsafe ChannelTimer.destroy(timer) }
        if let cancellation = unsafe core.core.cancellation { unsafe cancellation.takeRetainedValue().abandon() }
        // SAFETY: nobody else has the channel any more, so nobody is parked; what is left in the buffer is ours.
        if core.core.count > 0 { dropElements() }
        if core.core.ownsBuffer { unsafe core.core.buffer?.deallocate() }
    }

    private func dropElements() {
        for offset in 0..<core.core.count {
            // SAFETY: as in `deinit`.
            unsafe core.element(core.core.head + offset, of: Element.self).deinitialize(count: 1)
        }
    }

    // MARK: Send

    /// Sends `value`: blocks until a receiver takes it or the buffer has room. Traps if the channel is or becomes closed.
    /// - Complexity: O(1), no allocation.
    @available(*, noasync)
    @inlinable
    public func send(_ value: consuming sending Element) {
        exploreBefore(.send, self)
        defer { withExtendedLifetime(self) {} }
        var slot: Element? = consume value
        // SAFETY: the slot outlives the operation.
        unsafe withUnsafeMutablePointer(to: &slot) { slot in
            core.lock()
            if unsafe core.sendLocked(slot) { return }
            if unsafe !core.wait(in: .send, slot: slot) { fatalSendOnClosed() }
        }
    }

    /// Sends `value` if that needs no waiting; false, and the value is released, when it would have to wait.
    /// Traps if the channel is closed.
    @inlinable
    public func trySend(_ value: consuming sending Element) -> Bool {
        var slot: Element? = consume value
        return trySendSlot(&slot)
    }

    /// The same for values that must not be lost: takes the value out of `slot` only when it was sent. An empty slot traps.
    @inlinable
    public func trySend(from slot: inout sending Element?) -> Bool { trySendSlot(&slot) }

    @inlinable
    func trySendSlot(_ slot: inout Element?) -> Bool {
        exploreBefore(.trySend, self)
        defer { withExtendedLifetime(self) {} }
        return core.maySend() && core.trySend(&slot, locked: false)
    }

    // MARK: Receive

    /// The next value; nil once the channel is closed and drained. Blocks until there is one.
    /// - Complexity: O(1), no allocation.
    @available(*, noasync)
    @discardableResult
    @inlinable
    public func receive() -> sending Element? {
        exploreBefore(.receive, self)
        defer { withExtendedLifetime(self) {} }
        var slot: Element? = nil
        // SAFETY: the slot outlives the operation.
        unsafe withUnsafeMutablePointer(to: &slot) { slot in
            core.lock()
            if unsafe core.receiveLocked(slot) { return }
            _ = unsafe core.wait(in: .receive, slot: slot)
        }
        return unsafe UnsafeTransfer(slot.take()).value
    }

    /// The next value if that needs no waiting.
    @inlinable
    public func tryReceive() -> sending ReceiveAttempt<Element> {
        exploreBefore(.tryReceive, self)
        defer { withExtendedLifetime(self) {} }
        guard core.mayReceive() else { return .empty }
        var slot: Element? = nil
        guard core.tryReceive(&slot, locked: false) else { return .empty }
        guard let value = unsafe UnsafeTransfer(slot.take()).value else { return .closed }
        return .value(value)
    }

    // MARK: Close and look

    /// No more values: wakes every waiter. Traps when the channel is already closed; a sender that waits then traps.
    public func close() {
        exploreBefore(.close, self)
        core.close()
        withExtendedLifetime(self) {}
    }

    /// Values in the buffer now. A timer's channel looks unbuffered, as since Go 1.23.
    public var count: Int {
        if unsafe core.core.timer != nil { return 0 }
        core.lock()
        defer {
            core.unlock()
            withExtendedLifetime(self) {}
        }
        return core.core.count
    }

    /// Values that the buffer can hold.
    public var capacity: Int { unsafe core.core.timer != nil ? 0 : core.core.capacity }

    /// The half that can only send and close (Go's `chan<- T`).
    @inlinable public var sender: SendChannel<Element> { SendChannel(self) }
    /// The half that can only receive (Go's `<-chan T`).
    @inlinable public var receiver: ReceiveChannel<Element> { ReceiveChannel(self) }
}

/// What a receive that does not wait has found.
@frozen
public enum ReceiveAttempt<Element: ~Copyable>: ~Copyable {
    /// A value.
    case value(Element)
    /// Nothing now.
    case empty
    /// Nothing any more: closed and drained.
    case closed
}
extension ReceiveAttempt: Copyable where Element: Copyable {}

extension Channel: Hashable where Element: ~Copyable {
    /// True when both are the same channel.
    public static func == (a: Channel, b: Channel) -> Bool { a === b }
    /// By identity.
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A value that has left every region the compiler knows of: it was moved through the channel.
@unsafe @frozen @usableFromInline
struct UnsafeTransfer<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // SAFETY: (whole type) the core and its buffer live as long as the channel; slots outlive the operation.
    @usableFromInline var value: Value
    @inlinable @inline(__always)
    init(_ value: consuming Value) { unsafe self.value = value }
}
