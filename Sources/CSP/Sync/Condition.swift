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
        exploreBefore(.wait, self)
        mutex.core.lock(.mutex)
        while unsafe !predicate(mutex.valueAddress.pointee) {
            core.wait()
            mutex.core.lock(.mutex)
        }
        defer {
            exploreBefore(.unlock, mutex)
            mutex.core.unlock()
        }
        return unsafe body(&mutex.valueAddress.pointee)
    }

    /// As `wait`, but gives up when `context` is done: throws its error, and `body` does not run.
    @available(*, noasync)
    public func wait<T>(
        in context: Context, until predicate: (borrowing Value) -> Bool,
        then body: (inout sending Value) -> sending T
    ) throws(ContextError) -> sending T {
        guard let done = context.channel else { return wait(until: predicate, then: body) }
        guard let result = wait(unless: done.receiver, until: predicate, then: body) else { throw context.error! }
        return result
    }

    /// As `wait`, but gives up when `done` is closed; nil then. A predicate that is true needs no waiting and so comes first: no signal is
    /// wasted on one who gives up although it could go on.
    package func wait<T>(
        unless done: ReceiveChannel<Never>, until predicate: (borrowing Value) -> Bool,
        then body: (inout sending Value) -> sending T
    ) -> sending T? {
        exploreBefore(.wait, self)
        mutex.core.lock(.mutex)
        while unsafe !predicate(mutex.valueAddress.pointee) {
            if !core.wait(unless: done.channel.core) {
                withExtendedLifetime((self, done)) {}
                return nil
            }
            mutex.core.lock(.mutex)
        }
        defer {
            exploreBefore(.unlock, mutex)
            mutex.core.unlock()
        }
        return unsafe body(&mutex.valueAddress.pointee)
    }

    /// Wakes the one who has waited longest, if anybody waits. It looks at its predicate once it has the lock.
    public func signal() {
        exploreBefore(.signal, self)
        core.signal()
        withExtendedLifetime(self) {}
    }

    /// Wakes everybody who waits now.
    public func broadcast() {
        exploreBefore(.broadcast, self)
        core.broadcast()
        withExtendedLifetime(self) {}
    }
}

/// What a condition is, without its value's type.
@safe
struct ConditionCore: ~Copyable {
    // Guarded by the lock, under which nobody is made ready and the mutex is left alone. Must be first.
    var waiters = WaitList()
    // Must be second.
    let lockWord = Atomic<UInt32>(0)
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
    var lock: LockWord { unsafe LockWord(at: pointer, offset: MemoryLayout<WaitList>.size) }

    // Unlocking the mutex may make somebody ready, which must not happen under another lock. So whoever begins to wait queues first, then
    // unlocks the mutex, then parks, and a signal that comes in between takes it off the list and no more: see `isOnItsWay`.

    /// Lets go of the mutex and waits for a signal. The mutex stays free.
    func wait() {
        unsafe Waiter.withOwn { waiter in
            unsafe queue(waiter)
            core.mutex.unlock()
            lock.lock()
            // SAFETY: under the lock.
            guard unsafe waiter.pointee.isQueued else { return lock.unlock() }
            unsafe waiter.pointee.isOnItsWay = false
            unsafe waiter.pointee.party.block(.condition, .unlock(lock))
        }
    }

    /// The same; false when `done` was closed instead.
    func wait(unless done: ChannelRef) -> Bool {
        // It keeps the place in the queue until the select's own waiter takes it; nobody makes it ready.
        var arrival = ConditionArrival(condition: self, waiter: Waiter(party: .caller()))
        // SAFETY: no value goes into a slot of a channel of Never; the arrival is off the list, and the core alive, when this returns.
        return unsafe withUnsafeMutablePointer(to: &arrival) { arrival in
            unsafe queue(&arrival.pointee.waiter)
            core.mutex.unlock()
            return unsafe withUnsafeTemporaryAllocation(of: _SelectEntry.self, capacity: 2) { entries in
                unsafe entries.initializeElement(at: 0, to: _SelectEntry(.receive, done))
                unsafe entries.initializeElement(at: 1, to: _SelectEntry(.condition, nil, arrival))
                let outcome = unsafe _selectBlocking(entries, isPrioritized: true)
                if outcome.isDone { return outcome.place == 1 }
                // One was ready before it had to wait, and is locked.
                if outcome.place == 0 {
                    done.unlock()
                    lock.lock()
                }
                defer { lock.unlock() }
                // One that was signalled does not give up, or the signal would be lost.
                guard unsafe arrival.pointee.waiter.isQueued else { return true }
                unsafe core.waiters.remove(&arrival.pointee.waiter)
                return false
            }
        }
    }

    private func queue(_ waiter: UnsafeMutablePointer<Waiter>) {
        lock.lock()
        // SAFETY: under the lock.
        unsafe waiter.pointee.isOnItsWay = true
        unsafe core.waiters.append(waiter)
        lock.unlock()
    }

    func signal() {
        lock.lock()
        // SAFETY: taken off the list under the lock, so it stays parked until we call ready; one that has not parked may go on once the
        // lock is free.
        guard let waiter = unsafe core.waiters.takeFirst(), unsafe !waiter.pointee.isOnItsWay else {
            return lock.unlock()
        }
        let party = unsafe waiter.pointee.party
        lock.unlock()
        party.ready()
    }

    func broadcast() {
        lock.lock()
        var woken = ReadyChain()
        // SAFETY: as above.
        while let waiter = unsafe core.waiters.takeFirst() {
            if unsafe !waiter.pointee.isOnItsWay { unsafe woken.append(waiter) }
        }
        lock.unlock()
        woken.ready()
    }
}

/// Somebody who has begun to wait for a condition and will go on as a select.
@safe
struct ConditionArrival: ~Copyable {
    // SAFETY: (whole type) on the stack of who waits.
    let condition: ConditionRef
    // Guarded by the condition's lock once it is queued.
    var waiter: Waiter
}

/// An arrival by reference.
@safe
struct ConditionArrivalRef {
    // SAFETY: (whole type) it stays where it is until the wait is over.
    let pointer: UnsafeMutablePointer<ConditionArrival>

    init(_ pointer: UnsafeMutablePointer<ConditionArrival>) { unsafe self.pointer = unsafe pointer }

    var condition: ConditionRef { unsafe pointer.pointee.condition }
    /// With the lock.
    var wasSignalled: Bool { unsafe !pointer.pointee.waiter.isQueued }

    /// With the lock, and not signalled: `waiter` takes its place in the queue.
    func replace(by waiter: UnsafeMutablePointer<Waiter>) {
        unsafe waiter.pointee.isOnItsWay = false
        unsafe condition.core.waiters.replace(&pointer.pointee.waiter, by: waiter)
    }
}
