public import Synchronization

/// Acquires a mutex or a semaphore: ready when nobody has the one, or enough of the other is free and nobody waits in front. A select that chooses
/// another case has acquired nothing.
///
/// ```swift
/// select {
///     Acquire(counts) { $0["late"] = 1 }
///     After(.seconds(1)) { print("somebody holds it") }
/// }
/// ```
/// The body runs with the lock held, and it is unlocked when the body returns or throws. `keeping:` leaves what was acquired to the body, which
/// passes it on: `Acquire(keeping: slots) { go { work(); slots.release() } }`.
///
/// Go has no such case (https://go.dev/issue/16620). While it waits it queues as the others do, and the mutex is handed over to it.
@frozen
public struct Acquire<Body: _SelectBodies>: SelectCase where Body.Slots == Void {
    @usableFromInline let plan: _AcquirePlan
    @usableFromInline let body: Body

    @inlinable @inline(__always)
    init(plan: _AcquirePlan, body: Body) {
        self.plan = plan
        self.body = body
    }

    /// See `SelectCase`.
    public typealias Output = Body.Output
    /// See `SelectCase`.
    public typealias Failure = Body.Failure

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public consuming func _takeApart() -> _SelectParts<_AcquirePlan, Body, Void> { _SelectParts(plan, body, (), ()) }

    /// Locks `mutex` while `body` runs. Nil is never ready.
    /// - Parameter body: Runs when this case is chosen, with the lock held.
    @inlinable @inline(__always)
    public init<Value: ~Copyable, Output, Failure: Error>(
        _ mutex: Mutex<Value>?, _ body: @escaping (inout sending Value) throws(Failure) -> Output
    ) where Body == _LockedBody<Value, Output, Failure> {
        self.init(plan: _AcquirePlan(mutex?.core), body: _LockedBody(mutex, body))
    }

    /// Locks `mutex` and leaves it locked: whoever is done with it calls `unlock`. Nil is never ready.
    /// - Parameter body: Runs when this case is chosen, with the lock held.
    @inlinable @inline(__always)
    public init<Output, Failure: Error>(
        keeping mutex: Mutex<Void>?, _ body: @escaping () throws(Failure) -> Output
    ) where Body == _KeepingBody<Output, Failure> {
        self.init(plan: _AcquirePlan(mutex?.core), body: _KeepingBody(mutex, body))
    }

    /// Takes `count` of `semaphore` while `body` runs. Nil is never ready. A negative count traps.
    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init<Output, Failure: Error>(
        _ semaphore: Semaphore?, _ count: Int = 1, _ body: @escaping () throws(Failure) -> Output
    ) where Body == _ReleasingBody<Output, Failure> {
        self.init(plan: _AcquirePlan(semaphore?.core, count), body: _ReleasingBody(semaphore, count, body))
    }

    /// Takes `count` of `semaphore` and keeps it: whoever is done with it calls `release`. Nil is never ready. A negative count traps.
    /// - Parameter body: Runs when this case is chosen.
    @inlinable @inline(__always)
    public init<Output, Failure: Error>(
        keeping semaphore: Semaphore?, _ count: Int = 1, _ body: @escaping () throws(Failure) -> Output
    ) where Body == _KeepingBody<Output, Failure> {
        self.init(plan: _AcquirePlan(semaphore?.core, count), body: _KeepingBody(semaphore, body))
    }
}

/// See `_SelectPlan`.
@frozen
@safe
public struct _AcquirePlan: _SelectPlan {
    // SAFETY: (whole type) the case's body keeps what the core is a part of.
    @usableFromInline let kind: _SelectEntry.Kind
    @usableFromInline let core: UnsafeMutableRawPointer?
    @usableFromInline let count: Int
    /// See `_SelectPlan`.
    public let firstLook: _SelectScan

    @inlinable @inline(__always)
    init(_ mutex: MutexRef?) {
        kind = mutex == nil ? .never : .mutex
        unsafe core = unsafe mutex.map { unsafe UnsafeMutableRawPointer($0.pointer) }
        count = 1
        let isReady = mutex.map { $0.core.word.load(ordering: .acquiring) == 0 } ?? false
        firstLook = _SelectScan(ready: isReady ? 1 : 0, versions: 0)
    }

    @inlinable @inline(__always)
    init(_ semaphore: SemaphoreRef?, _ count: Int) {
        if count < 0 { fatalNegative() }
        kind = semaphore == nil ? .never : .semaphore
        unsafe core = unsafe semaphore.map { unsafe UnsafeMutableRawPointer($0.pointer) }
        self.count = count
        firstLook = _SelectScan(ready: semaphore.map { $0.mayAcquire(count) } ?? false ? 1 : 0, versions: 0)
    }

    /// See `_SelectPlan`.
    public typealias Slots = Void
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var defaultIndex: Int { -1 }
    /// Locks have no versions: says that there was a change, so that a select with a default beside several cases takes all the locks.
    @inlinable @inline(__always) public func secondLook() -> _SelectScan { _SelectScan(ready: 0, versions: 1) }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func attempt(_ index: Int, locked: Bool, _ slot: inout Void) -> Bool { attempt(locked: locked) }

    @usableFromInline @inline(never)
    func attempt(locked: Bool) -> Bool {
        switch kind {
        case .mutex:
            let mutex = unsafe MutexRef(core!.assumingMemoryBound(to: MutexCore.self))
            defer { if locked { WaitPoint.mutex(mutex).unlock() } }
            return mutex.tryLock()
        case .semaphore:
            let semaphore = unsafe SemaphoreRef(core!.assumingMemoryBound(to: SemaphoreCore.self))
            if !locked { semaphore.lock.lock() }
            defer { semaphore.unlock() }
            return semaphore.take(count)
        default: return false
        }
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func describe(_ slot: inout Void, into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the caller has room for an entry.
        unsafe entries.initialize(to: _SelectEntry(kind, nil, core, nanoseconds: Int64(count)))
    }
}

/// See `_SelectBodies`.
@frozen
public struct _LockedBody<Value: ~Copyable, Output, Failure: Error>: _SelectBodies {
    @usableFromInline let mutex: Mutex<Value>?
    @usableFromInline let body: (inout sending Value) throws(Failure) -> Output

    @inlinable @inline(__always)
    init(_ mutex: Mutex<Value>?, _ body: @escaping (inout sending Value) throws(Failure) -> Output) {
        self.mutex = mutex
        self.body = body
    }

    /// See `_SelectBodies`.
    public typealias Slots = Void
    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable
    public func finish(_ index: Int, _ slot: inout Void) throws(Failure) -> Output {
        // SAFETY: the case was chosen, so there is a mutex, and its lock is ours.
        let mutex = mutex!
        defer {
            mutex.core.unlock()
            withExtendedLifetime(mutex) {}
        }
        return try unsafe body(&mutex.valueAddress.pointee)
    }
}

/// See `_SelectBodies`.
@frozen
public struct _ReleasingBody<Output, Failure: Error>: _SelectBodies {
    @usableFromInline let semaphore: Semaphore?
    @usableFromInline let count: Int
    @usableFromInline let body: () throws(Failure) -> Output

    @inlinable @inline(__always)
    init(_ semaphore: Semaphore?, _ count: Int, _ body: @escaping () throws(Failure) -> Output) {
        self.semaphore = semaphore
        self.count = count
        self.body = body
    }

    /// See `_SelectBodies`.
    public typealias Slots = Void
    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable
    public func finish(_ index: Int, _ slot: inout Void) throws(Failure) -> Output {
        defer { semaphore!.release(count) }
        return try body()
    }
}

/// See `_SelectBodies`.
@frozen
public struct _KeepingBody<Output, Failure: Error>: _SelectBodies {
    @usableFromInline let kept: AnyObject?
    @usableFromInline let body: () throws(Failure) -> Output

    @inlinable @inline(__always)
    init(_ kept: AnyObject?, _ body: @escaping () throws(Failure) -> Output) {
        self.kept = kept
        self.body = body
    }

    /// See `_SelectBodies`.
    public typealias Slots = Void
    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable
    public func finish(_ index: Int, _ slot: inout Void) throws(Failure) -> Output {
        defer { withExtendedLifetime(kept) {} }
        return try body()
    }
}
