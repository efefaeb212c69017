/// Counts units of something scarce, which are acquired several at a time (Go's `golang.org/x/sync/semaphore`).
///
/// Strictly first come, first served: who waits for many is not passed by those who want few. What happens before a `release` happens before
/// the return of an `acquire` that it lets go on (https://pkg.go.dev/golang.org/x/sync/semaphore).
@safe
public final class Semaphore: Sendable {
    // SAFETY: (whole type) the core lives as long as the semaphore, whose lifetime is extended to the end of each operation, since the core is
    // used by its address; it is guarded by its lock.
    // Must be first: see `Mutex`.
    nonisolated(unsafe) private var storage: SemaphoreCore

    @usableFromInline var core: SemaphoreRef {
        @inlinable @inline(__always) get {
            unsafe SemaphoreRef(
                (Unmanaged.passUnretained(self).toOpaque() + objectHeaderSize)
                    .assumingMemoryBound(to: SemaphoreCore.self))
        }
    }

    /// All units are free.
    /// - Parameter capacity: How many there are; negative traps.
    public init(_ capacity: Int) {
        if capacity < 0 { fatalNegative() }
        unsafe storage = SemaphoreCore(capacity: capacity)
        guard unsafe withUnsafeMutablePointer(to: &storage, { unsafe $0 == core.pointer }) else { fatalUnknownLayout() }
    }

    /// Waits until `count` units are free and everybody who came before has theirs, and takes them. Blocks the calling goroutine or thread; for
    /// ever, if there are not that many, but without holding up others. A negative count traps.
    /// - Complexity: O(1), no allocation.
    @available(*, noasync)
    @inlinable
    public func acquire(_ count: Int = 1) {
        exploreBefore(.acquire, self)
        core.acquire(count)
        withExtendedLifetime(self) {}
    }

    /// Takes `count` units if they are free and nobody waits. Never waits. A negative count traps.
    @inlinable
    public func tryAcquire(_ count: Int = 1) -> Bool {
        exploreBefore(.tryAcquire, self)
        defer { withExtendedLifetime(self) {} }
        return core.tryAcquire(count)
    }

    /// Gives `count` units back, whoever has acquired them. Traps if that makes more than there were, or if it is negative.
    @inlinable
    public func release(_ count: Int = 1) {
        exploreBefore(.release, self)
        core.release(count)
        withExtendedLifetime(self) {}
    }

    /// As `acquire`, but gives up when `context` is done: throws its error, with nothing taken. A context that is done comes before a semaphore that is
    /// free.
    @available(*, noasync)
    public func acquire(_ count: Int = 1, in context: Context) throws(ContextError) {
        guard let done = context.channel else { return acquire(count) }
        if !acquire(count, unless: done.receiver) { throw context.error! }
    }

    /// As `acquire`, but gives up when `done` is closed; false then, with nothing taken. `done` comes first: if it is closed already, nothing is
    /// acquired even from a semaphore that is free; and so it is if it is closed before this returns, as in Go.
    package func acquire(_ count: Int, unless done: ReceiveChannel<Never>) -> Bool {
        let isOurs = select(prioritized: true) {
            Receive(done) { _ in false }
            Acquire(keeping: self, count) { true }
        }
        if isOurs, case .closed = done.tryReceive() {
            release(count)
            return false
        }
        return isOurs
    }
}
