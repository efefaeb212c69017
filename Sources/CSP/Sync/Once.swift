public import Synchronization

/// Runs something once (Go's `sync.Once`).
///
/// The return of the one `body` that runs happens before the return of every `run`.
@safe
public final class Once: Sendable {
    @usableFromInline let isDone = Atomic<Bool>(false)
    private let mutex = Mutex(())

    /// `run` will run its body.
    public init() {}

    /// Runs `body` if this is the first call; returns when the first call's has returned. Blocks the calling goroutine or thread until then.
    ///
    /// A `body` that calls `run` of the same `Once` waits for itself, for ever.
    /// - Complexity: One load when it was done before.
    @available(*, noasync)
    @inlinable @inline(__always)
    public func run(_ body: () -> Void) {
        exploreBefore(.once, self)
        if _fastPath(isDone.load(ordering: .acquiring)) { return }
        runSlow(body)
    }

    @usableFromInline @inline(never)
    func runSlow(_ body: () -> Void) {
        mutex.withLock { _ in
            if isDone.load(ordering: .relaxed) { return }
            body()
            isDone.store(true, ordering: .releasing)
        }
    }
}

/// A value that is computed once, when it is first asked for (Go's `sync.OnceValue`). For computations that can fail, make it a `Result`.
@safe
public final class OnceValue<Value: Sendable>: Sendable {
    // SAFETY: (whole type) memory of our own, which holds a value as soon as `once` is done; `compute` is used under it only.
    @usableFromInline let once = Once()
    @usableFromInline nonisolated(unsafe) let result: UnsafeMutablePointer<Value>
    private nonisolated(unsafe) var compute: (@Sendable () -> Value)?

    /// - Parameter compute: Runs at most once. It is released, with what it holds, when it has returned.
    public init(_ compute: @escaping @Sendable () -> Value) {
        unsafe result = .allocate(capacity: 1)
        unsafe self.compute = compute
    }

    deinit {
        if once.isDone.load(ordering: .acquiring) { unsafe result.deinitialize(count: 1) }
        unsafe result.deallocate()
    }

    /// What `compute` has returned. The first call runs it, and the others wait for that: blocks the calling goroutine or thread. A
    /// `compute` that asks for the same value waits for itself, for ever.
    @available(*, noasync)
    @inlinable
    public var value: Value {
        exploreBefore(.once, self)
        if !once.isDone.load(ordering: .acquiring) { computeSlow() }
        return unsafe result.pointee
    }

    @usableFromInline @inline(never)
    func computeSlow() {
        once.run {
            unsafe result.initialize(to: compute!())
            unsafe compute = nil
        }
    }
}
