import Synchronization

/// Waits for something to become true of a mutex's value (Go's `sync.Cond`).
///
/// ```swift
/// let queue = Mutex<[Int]>([]), isFilled = Condition(queue)
/// go {
///     queue.withLock { $0.append(1) }
///     isFilled.signal()
/// }
/// let first = isFilled.wait(until: { !$0.isEmpty }) { $0.removeFirst() }
/// ```
/// Change the value under the lock, then signal, with the lock or without. Whoever waits is on the list before the lock is released: no signal
/// that follows a change is lost, nor taken by one who began to wait later (https://pkg.go.dev/sync#Cond).
@safe
public final class Condition<Value: ~Copyable>: Sendable {
    // SAFETY: (whole type) the core lives as long as the condition; the value is touched under the mutex only.
    private let mutex: Mutex<Value>
    private let core: ConditionRef

    /// A condition of `mutex`'s value. There may be several.
    public init(_ mutex: Mutex<Value>) {
        self.mutex = mutex
        core = ConditionRef(mutex.core)
    }

    deinit { core.deallocate() }

    /// Waits until `predicate` is true, then runs `body`, both under the lock and with nothing in between. Blocks the calling goroutine or
    /// thread. The predicate is looked at now and after each signal.
    ///
    /// - Returns: What `body` returns.
    @available(*, noasync)
    public func wait<T>(
        until predicate: (borrowing Value) -> Bool, then body: (inout sending Value) -> sending T
    ) -> sending T {
        mutex.core.lock(.mutex)
        while unsafe !predicate(mutex.valueAddress.pointee) {
            core.wait()
            mutex.core.lock(.mutex)
        }
        defer { mutex.core.unlock() }
        return unsafe body(&mutex.valueAddress.pointee)
    }

    /// As `wait`, but gives up when `done` is closed; nil then. A predicate that is true needs no waiting and so comes first: no signal is
    /// wasted on one who gives up although it could go on.
    package func wait<T>(
        unless done: ReceiveChannel<Never>, until predicate: (borrowing Value) -> Bool,
        then body: (inout sending Value) -> sending T
    ) -> sending T? {
        mutex.core.lock(.mutex)
        while unsafe !predicate(mutex.valueAddress.pointee) {
            if !core.wait(unless: done.channel.core) {
                withExtendedLifetime((self, done)) {}
                return nil
            }
            mutex.core.lock(.mutex)
        }
        defer { mutex.core.unlock() }
        return unsafe body(&mutex.valueAddress.pointee)
    }

    /// Wakes the one who has waited longest, if anybody waits. It looks at its predicate once it has the lock.
    public func signal() {
        core.signal()
        withExtendedLifetime(self) {}
    }

    /// Wakes everybody who waits now.
    public func broadcast() {
        core.broadcast()
        withExtendedLifetime(self) {}
    }
}

/// What a condition is, without its value's type.
@safe
struct ConditionCore: ~Copyable {
    let lockWord = Atomic<UInt32>(0)
    // Guarded by the lock, which may be taken with the mutex locked.
    var waiters = WaitList()
    // Written once.
    let mutex: MutexRef
}

/// A condition's core by reference.
@safe
struct ConditionRef: @unchecked Sendable {
    // SAFETY: (whole type) memory of the condition's own, which is alive while one of its operations runs or one of its waiters is parked.
    let pointer: UnsafeMutablePointer<ConditionCore>

    init(_ pointer: UnsafeMutablePointer<ConditionCore>) { unsafe self.pointer = unsafe pointer }

    init(_ mutex: MutexRef) {
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: ConditionCore(mutex: mutex))
    }

    func deallocate() {
        unsafe pointer.deinitialize(count: 1)
        unsafe pointer.deallocate()
    }

    var core: ConditionCore {
        unsafeAddress { unsafe UnsafePointer(pointer) }
        nonmutating unsafeMutableAddress { unsafe pointer }
    }

    // The lock word is first.
    var lock: LockWord { unsafe LockWord(at: pointer) }

    /// Lets go of the mutex and waits for a signal. The mutex stays free.
    func wait() {
        unsafe Waiter.withOwn { waiter in
            let party = unsafe waiter.pointee.party
            lock.lock()
            // SAFETY: under the lock.
            unsafe core.waiters.append(waiter)
            core.mutex.unlock()
            party.block(.condition, .unlock(lock))
        }
    }

    /// The same; false when `done` was closed instead.
    func wait(unless done: ChannelRef) -> Bool {
        // SAFETY: no value goes into a slot of a channel of Never; the core outlives the wait.
        unsafe withUnsafeTemporaryAllocation(of: _SelectEntry.self, capacity: 2) { entries in
            unsafe entries.initializeElement(at: 0, to: _SelectEntry(.receive, done))
            unsafe entries.initializeElement(at: 1, to: _SelectEntry(.condition, nil, pointer))
            let outcome = unsafe _selectBlocking(entries, isPrioritized: true)
            if outcome.isDone { return outcome.place == 1 }
            // Done before it had to wait: the channel is locked, and so is the mutex.
            done.unlock()
            core.mutex.unlock()
            return false
        }
    }

    func signal() {
        lock.lock()
        let waiter = unsafe core.waiters.takeFirst()
        lock.unlock()
        // SAFETY: taken off the list under the lock, so it stays parked until we call ready.
        guard let waiter = unsafe waiter else { return }
        unsafe waiter.pointee.succeeded = true
        let party = unsafe waiter.pointee.party
        party.ready()
    }

    func broadcast() {
        lock.lock()
        var woken = ReadyChain()
        // SAFETY: as above.
        while let waiter = unsafe core.waiters.takeFirst() {
            unsafe waiter.pointee.succeeded = true
            unsafe woken.append(waiter)
        }
        lock.unlock()
        woken.ready()
    }
}
