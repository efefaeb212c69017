/// A lock around a value (Go's `sync.Mutex`, and what it guards). Waiting parks the goroutine and not its thread; parking with the lock held
/// is fine, and it may be unlocked by another goroutine or thread than the one that locked it.
///
/// As Go's it is fair in the long run: whoever unlocks wakes the longest waiter, which competes with those who are running; one that has
/// waited for over a millisecond gets the mutex handed over, and newcomers queue behind it
/// (https://go.dev/src/internal/sync/mutex.go). It is not recursive: locking it twice in one goroutine waits for ever.
///
/// Each unlock happens before the next lock. Where `Synchronization` is imported too, write `CSP.Mutex`.
@safe
public final class Mutex<Value: ~Copyable>: @unchecked Sendable {
    // SAFETY: (whole type) the core and the value live as long as the mutex, whose lifetime is extended to the end of each operation, since both
    // are used by their addresses; the value is touched under the lock only.
    // The core must be first and the value second: their addresses are then known, which spares the checks for exclusive access.
    nonisolated(unsafe) private var storage = MutexCore()
    nonisolated(unsafe) private var value: Value

    @usableFromInline var core: MutexRef {
        @inlinable @inline(__always) get {
            unsafe MutexRef((address + objectHeaderSize).assumingMemoryBound(to: MutexCore.self))
        }
    }

    @usableFromInline var valueAddress: UnsafeMutablePointer<Value> {
        @inlinable @inline(__always) get {
            // Nothing has no place of its own; behind the object may be somebody else's.
            unsafe MemoryLayout<Value>.size == 0
                ? (address + objectHeaderSize + MutexCore.unusedByte).assumingMemoryBound(to: Value.self)
                : addressBehind(address + objectHeaderSize + MemoryLayout<MutexCore>.size, of: Value.self)
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

    /// Runs `body` with the lock held; unlocks when it returns or throws. Waits for the lock: blocks the calling goroutine or thread.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    /// - Complexity: One compare-exchange and a store when nobody else has it.
    @available(*, noasync)
    @inlinable @inline(__always)
    public func withLock<T: ~Copyable, E: Error>(
        _ body: (inout sending Value) throws(E) -> sending T
    ) throws(E) -> sending T {
        exploreBefore(.lock, self)
        core.lock(.mutex)
        defer {
            exploreBefore(.unlock, self)
            core.unlock()
            withExtendedLifetime(self) {}
        }
        return try unsafe body(&valueAddress.pointee)
    }

    /// The same if nobody has the lock; nil, and `body` does not run, otherwise (Go's `TryLock`). Never waits.
    @available(*, noasync)
    @inlinable @inline(__always)
    public func withLockIfAvailable<T: ~Copyable, E: Error>(
        _ body: (inout sending Value) throws(E) -> sending T
    ) throws(E) -> sending T? {
        exploreBefore(.tryLock, self)
        guard core.tryLock() else { return nil }
        defer {
            exploreBefore(.unlock, self)
            core.unlock()
            withExtendedLifetime(self) {}
        }
        return try unsafe body(&valueAddress.pointee)
    }
}

extension Mutex where Value == Void {
    /// A lock that guards nothing the compiler knows of.
    public convenience init() { self.init(()) }

    /// Waits until the lock is the caller's. Blocks the calling goroutine or thread.
    @available(*, noasync)
    @inlinable @inline(__always)
    public func lock() {
        exploreBefore(.lock, self)
        core.lock(.mutex)
        withExtendedLifetime(self) {}
    }

    /// Takes the lock if nobody has it. Never waits.
    @inlinable @inline(__always)
    public func tryLock() -> Bool {
        exploreBefore(.tryLock, self)
        defer { withExtendedLifetime(self) {} }
        return core.tryLock()
    }

    /// Lets go of the lock, whoever has locked it. Ends the process if nobody has.
    @inlinable @inline(__always)
    public func unlock() {
        exploreBefore(.unlock, self)
        core.unlock()
        withExtendedLifetime(self) {}
    }
}

/// Bytes of a native Swift object before its first property.
@usableFromInline var objectHeaderSize: Int { @inlinable @inline(__always) get { 16 } }

/// Where an object's next property begins when the last one ends at `end`.
// SAFETY: the caller checks the result once against the compiler's own.
@inlinable @inline(__always)
func addressBehind<Value: ~Copyable>(_ end: UnsafeMutableRawPointer, of: Value.Type) -> UnsafeMutablePointer<Value> {
    let mask = MemoryLayout<Value>.alignment &- 1
    return unsafe UnsafeMutableRawPointer(bitPattern: (UInt(bitPattern: end) &+ UInt(mask)) & ~UInt(mask))!
        .assumingMemoryBound(to: Value.self)
}

func fatalUnknownLayout() -> Never {
    fatal("fatal error: this Swift runtime lays out objects in a way unknown to swift-csp; please report its version")
}
