public import CCSP
public import Synchronization

/// What a mutex is, without its value.
///
/// `word` is 1 while the mutex is locked. Only its holder makes it 0, by a plain store; only a compare-exchange makes it 1. `attention` tells
/// the holder to look at the queue when it unlocks. The two are a Dekker handshake with the whole cost on the side that waits:
/// - A holder stores 0 in `word` (S), then loads `attention` (L), and looks at the queue if it is set.
/// - Who is about to wait sets `attention` (W), runs membarrier, then tries to take `word` (X), and waits only if it is still 1.
/// Nobody is forgotten: if L missed W then L came before the barrier's point in the holder's instruction stream, so S, which precedes L,
/// is visible to X. Where membarrier is refused, `attention` is never 0, and each unlock goes the slow way, which fences.
/// Looked at before S too, so that a mutex can be handed over and is never free in between.
///
/// While `queueLock` is held:
/// - a waiter is queued ⇒ `attention` is set, or `hasWoken`: one that was woken is on its way, and will see to the others
/// - isStarving ⇒ a waiter is queued, and not hasWoken
@usableFromInline
@safe
struct MutexCore: ~Copyable {
    // SAFETY: (whole type) waiters stay in their places until they are off the list.
    // Guarded by queueLock; first, see LockWord.init(at:offset:).
    /// A waiter was woken to compete for the mutex, and has not got to it yet. Nobody else is woken meanwhile.
    var hasWoken = false
    /// Every unlock hands over to the first in the queue, and newcomers queue, until one comes who has not waited for long.
    var isStarving = false
    // Anybody's.
    @usableFromInline let word = Atomic<UInt32>(0)
    @usableFromInline let attention: Atomic<UInt32>
    let queueLock = Atomic<UInt32>(0)
    // Guarded by queueLock.
    var waiters = WaitList()

    /// Between the first two fields and the third.
    @usableFromInline static var unusedByte: Int { @inlinable @inline(__always) get { 2 } }

    @usableFromInline
    init() { attention = Atomic(MutexRef.calm) }
}

/// A mutex's core by reference. Whoever locks or unlocks keeps it alive.
@usableFromInline
@safe
@frozen
struct MutexRef: @unchecked Sendable {
    // SAFETY: (whole type) the mutex is alive while one of its operations runs or one of its waiters is parked.
    @usableFromInline let pointer: UnsafeMutablePointer<MutexCore>

    @inlinable @inline(__always)
    init(_ pointer: UnsafeMutablePointer<MutexCore>) { unsafe self.pointer = unsafe pointer }

    @usableFromInline
    var core: MutexCore {
        @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inlinable @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    var queueLock: LockWord {
        unsafe withUnsafePointer(to: pointer.pointee.queueLock) { unsafe LockWord(UnsafeMutablePointer(mutating: $0)) }
    }

    @inlinable @inline(__always)
    func lock(_ reason: WaitReason) {
        if !tryLock() { lockSlow(reason) }
    }

    @inlinable @inline(__always)
    func tryLock() -> Bool {
        core.word.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged
    }

    @inlinable @inline(__always)
    func unlock() {
        // As in `LockWord.unlock`: retains of what is guarded must not come later.
        csp_compiler_barrier()
        if core.attention.load(ordering: .relaxed) | (core.word.load(ordering: .relaxed) ^ 1) != 0 {
            return unlockSlow(isFree: false)
        }
        core.word.store(0, ordering: .releasing)
        csp_compiler_barrier()
        if core.attention.load(ordering: .relaxed) != 0 { unlockSlow(isFree: true) }
    }

    // The bits of `attention`.
    private static var waitingBit: UInt32 { 1 }
    /// Without any waiter. Above zero where there is no membarrier.
    static var calm: UInt32 { unsafe csp_get_lock_table()!.pointee.asymmetric ? 0 : 2 }

    /// How long somebody may wait before the mutex is handed over: Go's starvationThresholdNs.
    private static var longestWait: Int64 { 1_000_000 }

    // MARK: Lock

    @usableFromInline @inline(never)
    func lockSlow(_ reason: WaitReason) {
        if spin() { return }
        queueLock.lock()
        if tryLockAnnounced() {
            settle()
            return queueLock.unlock()
        }
        unsafe Waiter.withOwn { waiter in
            // SAFETY: the waiter is ours while it is on no list.
            unsafe waiter.pointee.since = Clock.now
            unsafe core.waiters.append(waiter)
            while true {
                settle()
                unsafe waiter.pointee.party.block(reason, .unlock(queueLock))
                if unsafe waiter.pointee.succeeded { return }
                let isOurs = tryLock() || spin()
                queueLock.lock()
                core.hasWoken = false
                if isOurs || tryLockAnnounced() {
                    settle()
                    return queueLock.unlock()
                }
                // It has waited its turn, so it comes before those who have not.
                unsafe waiter.pointee.party.rearm()
                unsafe core.waiters.prepend(waiter)
                if unsafe Clock.now - waiter.pointee.since > Self.longestWait { core.isStarving = true }
            }
        }
    }

    /// With the queue's lock. When this fails, whoever has the mutex will look at the queue.
    private func tryLockAnnounced() -> Bool {
        if core.isStarving { return false }
        if core.hasWoken { return tryLock() }
        announce()
        return tryLock()
    }

    /// With the queue's lock: from now on, whoever makes the mutex free looks at the queue, for which it needs the lock.
    func announce() {
        let old = core.attention.load(ordering: .relaxed)
        if old & Self.waitingBit != 0 { return }
        core.attention.store(old | Self.waitingBit, ordering: .sequentiallyConsistent)
        if Self.calm == 0 { csp_membarrier() } else { atomicMemoryFence(ordering: .sequentiallyConsistent) }
    }

    /// Before the queue's lock is released.
    func settle() {
        let isEmpty = core.waiters.isEmpty
        if isEmpty { core.isStarving = false }
        #if INTERNAL_CHECKS
            if core.isStarving, core.hasWoken { fatal("fatal error: mutex: one was woken although it is handed over") }
        #endif
        core.attention.store(
            isEmpty || core.hasWoken ? Self.calm : Self.calm | Self.waitingBit, ordering: .relaxed)
    }

    /// Tries again for some microseconds, if somebody else may be at it on another processor.
    private func spin() -> Bool {
        guard Spinning.mayPay else { return false }
        var pauses = 4
        for _ in 0..<8 {
            for _ in 0..<pauses { csp_pause() }
            pauses = min(32, pauses * 2)
            if core.word.load(ordering: .relaxed) == 0, tryLock() { return true }
        }
        return false
    }

    // MARK: Unlock

    /// `isFree`: the word is 0 already, and somebody else may have taken it.
    @usableFromInline @inline(never)
    func unlockSlow(isFree: Bool) {
        var isFree = isFree
        if !isFree, core.word.load(ordering: .relaxed) == 0 { fatal("fatal error: sync: unlock of unlocked mutex") }
        if !isFree, core.attention.load(ordering: .relaxed) & Self.waitingBit == 0 {
            // No membarrier here.
            core.word.store(0, ordering: .releasing)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            if core.attention.load(ordering: .relaxed) & Self.waitingBit == 0 { return }
            isFree = true
        }
        queueLock.lock()
        // SAFETY: under the lock; a waiter off the list stays parked until it is made ready.
        guard !core.hasWoken, let first = unsafe core.waiters.first else {
            if !isFree { core.word.store(0, ordering: .releasing) }
            settle()
            return queueLock.unlock()
        }
        let now = Clock.now
        // A select has to be told that the case is its own; it cannot come and compete.
        if !core.isStarving, unsafe first.pointee.selection == nil, unsafe now - first.pointee.since <= Self.longestWait
        {
            _ = unsafe core.waiters.takeFirst()
            unsafe first.pointee.succeeded = false
            core.hasWoken = true
            if !isFree { core.word.store(0, ordering: .releasing) }
            return unsafe release(first)
        }
        // Whoever has taken it meanwhile will look at the queue when it unlocks.
        if isFree, !tryLock() { return queueLock.unlock() }
        guard let heir = unsafe core.waiters.takeFirst() else {
            core.word.store(0, ordering: .releasing)
            settle()
            return queueLock.unlock()
        }
        unsafe heir.pointee.succeeded = true
        core.isStarving = unsafe now - heir.pointee.since > Self.longestWait
        unsafe release(heir)
    }

    private func release(_ waiter: UnsafeMutablePointer<Waiter>) {
        settle()
        // SAFETY: taken off the list under the lock, so it stays parked until we call ready.
        let party = unsafe waiter.pointee.party
        queueLock.unlock()
        party.ready()
    }
}

/// Whether to spin for a lock before parking.
enum Spinning {
    private static let severalCPUs = csp_affinity_cpus() > 1

    /// Only if another processor, or for a thread another thread, may release it meanwhile.
    static var mayPay: Bool {
        guard severalCPUs else { return false }
        return GoroutineRef.current == nil || SchedulerCore.running.cell.awake.load(ordering: .relaxed) > 1
    }
}
