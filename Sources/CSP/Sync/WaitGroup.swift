import CCSP
import Synchronization

/// Waits until a number of goroutines are done (Go's `sync.WaitGroup`).
///
/// What happens before a `done` happens before the return of the `wait` that it lets go on.
@safe
public final class WaitGroup: Sendable {
    // SAFETY: (whole type) memory of our own, released when nobody has the group.
    // The counter in the upper half, the number of parked waiters in the lower: one addition sees both.
    // Waiters join under the lock, by a compare-exchange that fails when the counter has reached zero; whoever brings it to zero
    // with waiters takes them all under the lock. So nobody parks who is not seen by the addition that reaches zero.
    private let state = Atomic<Int64>(0)
    let lock: LockWord
    // Guarded by the lock.
    nonisolated(unsafe) private let waiters: UnsafeMutablePointer<WaitList>
    /// Waiters on the list. When the lock is released, as many have joined.
    nonisolated(unsafe) private var queued: Int64 = 0

    /// The counter is zero.
    public init() {
        // SAFETY: memory of our own, released in deinit. Zero is the free state of a lock.
        let word = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
        lock = unsafe LockWord(word)
        unsafe waiters = .allocate(capacity: 1)
        unsafe waiters.initialize(to: WaitList())
    }

    deinit {
        unsafe lock.word.deallocate()
        unsafe waiters.deallocate()
    }

    /// Adds `delta`, which may be negative. At zero everybody who waits goes on; below zero it traps.
    public func add(_ delta: Int = 1) {
        exploreBefore(delta > 0 ? .add : .done, self)
        // One more goroutine is not ordered after those that were done before: races between them are to be found.
        if delta > 0 {
            state.wrappingAdd(Int64(delta) << 32, ordering: .relaxed)
            return
        }
        let now = state.wrappingAdd(Int64(delta) << 32, ordering: .acquiringAndReleasing).newValue
        if now >> 32 < 0 { fatal("panic: sync: negative WaitGroup counter") }
        if now >> 32 == 0, now != 0 { releaseWaiters() }
    }

    /// One is done: `add(-1)`.
    public func done() { add(-1) }

    /// Waits until the counter is zero. Blocks the calling goroutine or thread.
    @available(*, noasync)
    public func wait() {
        exploreBefore(.waitGroup, self)
        if isZero { return }
        lock.lock()
        guard join() else { return lock.unlock() }
        unsafe Waiter.withOwn { waiter in
            // SAFETY: under the lock.
            unsafe append(waiter)
            let party = unsafe waiter.pointee.party
            party.block(.waitGroup, .unlock(lock))
        }
    }

    /// Runs `body` in a goroutine and counts it: `add()`, `go`, and `done` when it has returned and what it captured is released.
    @inline(never)
    public func go(_ name: String? = nil, stackSize: Int? = nil, _ body: consuming sending @escaping () -> Void) {
        add()
        // SAFETY: `body` is sent to the new goroutine.
        unsafe GoroutineRef.spawn(
            name, stackSize: stackSize, creatorAddress: csp_return_address(), GoroutineBody(run: body, group: self))
    }

    /// The same for a function: `group.go(work)`.
    @inline(never)
    public func go(_ body: consuming sending @escaping () -> Void) {
        add()
        // SAFETY: as above.
        unsafe GoroutineRef.spawn(
            nil, stackSize: nil, creatorAddress: csp_return_address(), GoroutineBody(run: body, group: self))
    }

    // MARK: With the lock

    /// Counts one more waiter, unless the counter is zero.
    func join() -> Bool {
        var now = state.load(ordering: .acquiring)
        while now >> 32 != 0 {
            let (exchanged, original) = state.compareExchange(
                expected: now, desired: now + 1, ordering: .acquiringAndReleasing)
            if exchanged { return true }
            now = original
        }
        return false
    }

    /// For who has joined.
    func append(_ waiter: UnsafeMutablePointer<Waiter>) {
        // SAFETY: under the lock.
        unsafe waiters.pointee.append(waiter)
        unsafe queued += 1
    }

    /// Unless it is off the list already.
    func remove(_ waiter: UnsafeMutablePointer<Waiter>) {
        // SAFETY: under the lock.
        guard unsafe waiter.pointee.isQueued else { return }
        unsafe waiters.pointee.remove(waiter)
        unsafe queued -= 1
    }

    /// Whether a `join` before this found zero. Not by another look at the counter: that may have been above zero for a moment since, and whoever
    /// brought it back has seen nobody who waits. The lower half changes under the lock only.
    var hasNotJoined: Bool { unsafe state.load(ordering: .acquiring) & 0xFFFF_FFFF <= queued || isZero }

    var isZero: Bool { state.load(ordering: .acquiring) >> 32 == 0 }

    /// Unlocks. Who has joined and is not on the list has not joined any more: the lower half changes under the lock only.
    func unlockSettled() {
        let joined = state.load(ordering: .relaxed) & 0xFFFF_FFFF
        let excess = unsafe joined - queued
        if excess != 0 { state.wrappingSubtract(excess, ordering: .acquiringAndReleasing) }
        lock.unlock()
    }

    @inline(never)
    private func releaseWaiters() {
        lock.lock()
        var released = ReadyChain()
        // SAFETY: under the lock; a released waiter stays parked until it is made ready.
        while let waiter = unsafe waiters.pointee.takeFirst() { unsafe released.append(waiter) }
        unsafe queued = 0
        unlockSettled()
        released.ready()
    }
}
