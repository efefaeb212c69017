/// A lock around a value for many readers at a time or one writer (Go's `sync.RWMutex`). Waiting parks the goroutine and not its thread;
/// parking with the lock held is fine.
///
/// A writer that waits holds back new readers, so that it gets its turn; hence no goroutine may read-lock it twice at once. The readers that
/// have queued behind a writer go before the next one. Each write happens before the reads that come later, each read before the
/// writes that come later (https://pkg.go.dev/sync#RWMutex).
///
/// Readers run side by side and, once several have met, share no cache line; a writer then pays some microseconds for it, at the most once
/// in a millisecond.
@safe
public final class RWMutex<Value: ~Copyable>: @unchecked Sendable {
    // SAFETY: (whole type) the core and the value live as long as the mutex, whose lifetime is extended to the end of each operation, since both
    // are used by their addresses; the value is changed under the write lock and read under either.
    // The core must be first and the value second: see `Mutex`.
    nonisolated(unsafe) private var storage = RWMutexCore()
    nonisolated(unsafe) private var value: Value

    @usableFromInline var core: RWMutexRef {
        @inlinable @inline(__always) get {
            unsafe RWMutexRef((address + objectHeaderSize).assumingMemoryBound(to: RWMutexCore.self))
        }
    }

    @usableFromInline var valueAddress: UnsafeMutablePointer<Value> {
        @inlinable @inline(__always) get {
            unsafe MemoryLayout<Value>.size == 0
                ? (address + objectHeaderSize + 8 + MutexCore.unusedByte).assumingMemoryBound(to: Value.self)
                : addressBehind(address + objectHeaderSize + MemoryLayout<RWMutexCore>.size, of: Value.self)
        }
    }

    @usableFromInline var address: UnsafeMutableRawPointer {
        @inlinable @inline(__always) get { unsafe Unmanaged.passUnretained(self).toOpaque() }
    }

    /// Unlocked, around `value`.
    public init(_ value: consuming sending Value) {
        unsafe self.value = value
        let isAsExpected = unsafe withUnsafeMutablePointer(to: &storage) { unsafe $0 == core.pointer }
        guard isAsExpected, MemoryLayout<Value>.size == 0 || valueIsInPlace else { fatalUnknownLayout() }
    }

    private var valueIsInPlace: Bool {
        unsafe withUnsafeMutablePointer(to: &value) { unsafe $0 == valueAddress }
    }

    /// Runs `body` beside other readers, while no writer is inside or waits. Blocks the calling goroutine or thread until then.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    /// - Complexity: O(1), no allocation but once when readers first contend.
    @available(*, noasync)
    @inlinable
    public func withReadLock<T: ~Copyable, E: Error>(
        _ body: (borrowing Value) throws(E) -> sending T
    ) throws(E) -> sending T {
        exploreBefore(.readLock, self)
        let ticket = core.readLock()
        defer {
            exploreBefore(.readUnlock, self)
            core.readUnlock(ticket)
            withExtendedLifetime(self) {}
        }
        return try unsafe body(valueAddress.pointee)
    }

    /// The same if there is no writer; nil, and `body` does not run, otherwise (Go's `TryRLock`). Never waits.
    @available(*, noasync)
    @inlinable
    public func withReadLockIfAvailable<T: ~Copyable, E: Error>(
        _ body: (borrowing Value) throws(E) -> sending T
    ) throws(E) -> sending T? {
        exploreBefore(.tryReadLock, self)
        guard let ticket = core.tryReadLock() else { return nil }
        defer {
            exploreBefore(.readUnlock, self)
            core.readUnlock(ticket)
            withExtendedLifetime(self) {}
        }
        return try unsafe body(valueAddress.pointee)
    }

    /// Runs `body` alone. Waits until the readers inside have left: blocks the calling goroutine or thread.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    @available(*, noasync)
    @inlinable
    public func withWriteLock<T: ~Copyable, E: Error>(
        _ body: (inout sending Value) throws(E) -> sending T
    ) throws(E) -> sending T {
        exploreBefore(.writeLock, self)
        core.writeLock()
        defer {
            exploreBefore(.writeUnlock, self)
            core.writeUnlock()
            withExtendedLifetime(self) {}
        }
        return try unsafe body(&valueAddress.pointee)
    }

    /// The same if nobody is inside; nil, and `body` does not run, otherwise (Go's `TryLock`). Never waits.
    @available(*, noasync)
    @inlinable
    public func withWriteLockIfAvailable<T: ~Copyable, E: Error>(
        _ body: (inout sending Value) throws(E) -> sending T
    ) throws(E) -> sending T? {
        exploreBefore(.tryWriteLock, self)
        guard core.tryWriteLock() else { return nil }
        defer {
            exploreBefore(.writeUnlock, self)
            core.writeUnlock()
            withExtendedLifetime(self) {}
        }
        return try unsafe body(&valueAddress.pointee)
    }
}
