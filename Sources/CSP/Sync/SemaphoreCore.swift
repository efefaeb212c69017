public import Synchronization

/// What a semaphore is: some units that are free, and those who wait for more, first come, first served.
///
/// While the lock is held: somebody waits ⇒ the first wants more than is free, but for cases of selects already won elsewhere. While the lock is
/// free its word tells how much can be had without waiting.
@usableFromInline
@safe
struct SemaphoreCore: ~Copyable {
    // SAFETY: (whole type) waiters stay in their places until they are off the list.
    // Guarded by the lock. Must be first.
    @usableFromInline var free: Int
    // Must be second.
    @usableFromInline let lockWord: Atomic<UInt32>
    // Guarded by the lock.
    @usableFromInline var waiters = WaitList()
    // Written once.
    @usableFromInline let capacity: Int

    @usableFromInline
    init(capacity: Int) {
        self.capacity = capacity
        free = capacity
        lockWord = Atomic(SemaphoreRef.word(free: capacity))
    }
}

/// A semaphore's core by reference. Whoever acquires or releases keeps it alive.
@usableFromInline
@safe
@frozen
struct SemaphoreRef: @unchecked Sendable {
    // SAFETY: (whole type) the semaphore is alive while one of its operations runs or one of its waiters is parked.
    @usableFromInline let pointer: UnsafeMutablePointer<SemaphoreCore>

    @inlinable @inline(__always)
    init(_ pointer: UnsafeMutablePointer<SemaphoreCore>) { unsafe self.pointer = unsafe pointer }

    @usableFromInline
    var core: SemaphoreCore {
        @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inlinable @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    @usableFromInline
    var lock: LockWord { @inlinable @inline(__always) get { unsafe LockWord(at: pointer, offset: 8) } }

    /// What the lock's word is while it is free and nobody waits: never that of a lock that is held.
    @inlinable @inline(__always)
    static func word(free: Int) -> UInt32 { UInt32(truncatingIfNeeded: min(free, mostShown)) << 1 }
    @usableFromInline static var mostShown: Int { @inlinable @inline(__always) get { 1 << 30 } }

    @inlinable @inline(__always)
    func unlock() { lock.unlock(publishing: core.waiters.isEmpty ? Self.word(free: core.free) : 0) }

    /// Whether `count` might be had without waiting; a moment's truth. Never false while it is so.
    @inlinable @inline(__always)
    func mayAcquire(_ count: Int) -> Bool {
        let word = lock.peek()
        return word == LockWord.held || word >> 1 >= UInt32(truncatingIfNeeded: min(count, Self.mostShown))
    }

    /// With the lock.
    @inlinable @inline(__always)
    func take(_ count: Int) -> Bool {
        guard core.waiters.isEmpty, core.free >= count else { return false }
        core.free &-= count
        return true
    }

    @inlinable @inline(__always)
    func acquire(_ count: Int) {
        if count < 0 { fatalNegative() }
        lock.lock()
        if take(count) { return unlock() }
        acquireSlow(count)
    }

    @usableFromInline @inline(never)
    func acquireSlow(_ count: Int) {
        unsafe Waiter.withOwn { waiter in
            let party = unsafe waiter.pointee.party
            // More than there will ever be: waits for ever, but in nobody's way.
            if count > core.capacity {
                unlock()
                return party.block(.semaphore, .nothing)
            }
            // SAFETY: under the lock.
            unsafe waiter.pointee.demand = count
            unsafe core.waiters.append(waiter)
            party.block(.semaphore, .unlock(lock))
        }
    }

    @inlinable @inline(__always)
    func tryAcquire(_ count: Int) -> Bool {
        if count < 0 { fatalNegative() }
        if !mayAcquire(count) { return false }
        lock.lock()
        defer { unlock() }
        return take(count)
    }

    @inlinable @inline(__always)
    func release(_ count: Int) {
        if count < 0 { fatalNegative() }
        lock.lock()
        guard count <= core.capacity - core.free else {
            unlock()
            fatalReleased()
        }
        core.free += count
        if core.waiters.isEmpty { unlock() } else { serve() }
    }

    /// With the lock, which is released: gives to whoever is first as long as there is enough.
    @usableFromInline @inline(never)
    func serve() {
        var woken = ReadyChain()
        // SAFETY: under the lock; a waiter off the list stays parked until it is made ready, if it was ours to claim.
        while let first = unsafe core.waiters.first {
            let selection = unsafe first.pointee.selection
            let isOver =
                unsafe selection.map { unsafe $0.pointee.winner.load(ordering: .acquiring) != Selection.undecided }
                ?? false
            if unsafe !isOver && first.pointee.demand > core.free { break }
            unsafe core.waiters.remove(first)
            if let selection = unsafe selection, unsafe !selection.pointee.claim(first.pointee.caseIndex) { continue }
            unsafe core.free -= first.pointee.demand
            unsafe first.pointee.succeeded = true
            unsafe woken.append(first)
        }
        unlock()
        woken.ready()
    }
}

@usableFromInline @inline(never)
func fatalNegative() -> Never { fatal("panic: semaphore: negative weight") }

@usableFromInline @inline(never)
func fatalReleased() -> Never { fatal("panic: semaphore: released more than held") }
