public import CCSP
public import Synchronization

/// What a reader-writer mutex is, without its value.
///
/// Writers exclude each other by a mutex. Whoever has that sets `writerBit` in `state`, which holds back new readers, and waits until
/// those inside have left.
///
/// Readers count themselves in `state`. Where that is contended they count themselves in a slot of their thread's instead, and share no
/// cache line: `bias` then points to the slots. A reader may leave on another thread than it came on; only the sum counts. (After Dice and Kogan, "BRAVO: Biased Locking for Reader-Writer Locks", 2019.) A reader of
/// this kind and a writer meet in a Dekker handshake with the cost on the writer's side:
/// - A reader counts itself in in its slot (A), then loads `bias` (B), and is in if it is still set. It leaves by counting itself out (D), then
///   loads `bias` (F), and looks for a waiting writer if it is not set.
/// - A writer clears `bias` (C), runs membarrier, sums up the slots (S), first who is out and then who is in, and waits unless they are as many.
/// If B missed C then B came before the barrier's point in the reader's instruction stream, and so did A: S sees it. If F missed C, S sees D.
/// A reader that had to go back is seen by S for a moment, too; it then looks for the writer as one that leaves does. The difference is never too
/// low: who is inside has counted itself in before the barrier's point, and whoever is seen out is seen in.
/// A membarrier costs microseconds: readers set `bias` again a millisecond after it was cleared, at the earliest. Only a reader who is inside by
/// `state` sets it, under the lock, and not beside a writer; so no writer can come to believe that there were no slots to look at.
///
/// While the lock is held:
/// - a reader is queued ⇒ writerBit and queuedBit are set
/// - `drainer` is set ⇒ writerBit is set, bias is not, and somebody is inside
/// - a reader is inside by its slot ⇒ bias is set, or a writer waits for that reader
@usableFromInline
@safe
struct RWMutexCore: ~Copyable {
    // SAFETY: (whole type) waiters stay in their places until they are off the list; the slots live as long as the mutex.
    // Guarded by the lock. Must be first.
    /// Until when there is no bias.
    @usableFromInline var unbiasedUntil: Int64 = 0
    // Must be second.
    @usableFromInline let writers = MutexCore()
    /// The readers inside, but for those in slots, and the two bits.
    @usableFromInline let state = Atomic<UInt32>(0)
    @usableFromInline let lockWord = Atomic<UInt32>(0)
    @usableFromInline let bias = unsafe Atomic<UnsafeMutablePointer<csp_reader_slot>?>(nil)
    // Guarded by the lock.
    @usableFromInline var readers = WaitList()
    /// The writer that waits for readers to leave.
    @usableFromInline var drainer: UnsafeMutablePointer<Waiter>?
    /// Once there was contention, for good.
    @usableFromInline var slots: UnsafeMutablePointer<csp_reader_slot>?

    @usableFromInline init() {}

    @inlinable deinit { unsafe slots?.deallocate() }
}

/// How a reader came in, and must leave.
@usableFromInline
@frozen
enum ReadTicket { case counted, inSlot }

/// A reader-writer mutex's core by reference. Whoever locks or unlocks keeps it alive.
@usableFromInline
@safe
@frozen
struct RWMutexRef: @unchecked Sendable {
    // SAFETY: (whole type) the mutex is alive while one of its operations runs or one of its waiters is parked.
    @usableFromInline let pointer: UnsafeMutablePointer<RWMutexCore>

    @inlinable @inline(__always)
    init(_ pointer: UnsafeMutablePointer<RWMutexCore>) { unsafe self.pointer = unsafe pointer }

    @usableFromInline var core: RWMutexCore {
        @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inlinable @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    private var writers: MutexRef {
        unsafe MutexRef((UnsafeMutableRawPointer(pointer) + 8).assumingMemoryBound(to: MutexCore.self))
    }

    private var lock: LockWord {
        unsafe withUnsafePointer(to: pointer.pointee.lockWord) { unsafe LockWord(UnsafeMutablePointer(mutating: $0)) }
    }

    // The bits of `state`.
    /// A writer is inside, or waits for readers to leave.
    @usableFromInline static var writerBit: UInt32 { @inlinable get { 1 << 31 } }
    /// Readers are queued.
    private static var queuedBit: UInt32 { 1 << 30 }
    private static var countMask: UInt32 { queuedBit - 1 }

    private static var longestUnbiased: Int64 { 1_000_000 }

    // MARK: Read

    @inlinable @inline(__always)
    func readLock() -> ReadTicket {
        if readLockByBias() { return .inSlot }
        let now = core.state.load(ordering: .relaxed)
        if now & Self.writerBit != 0 { return readLockSlow() }
        if core.state.compareExchange(expected: now, desired: now &+ 1, ordering: .acquiring).exchanged {
            return .counted
        }
        return readLockContended()
    }

    @inlinable @inline(__always)
    func readLockByBias() -> Bool {
        guard let slots = unsafe core.bias.load(ordering: .acquiring) else { return false }
        unsafe csp_reader_in(slots)
        csp_compiler_barrier()
        if unsafe core.bias.load(ordering: .acquiring) != nil { return true }
        leaveSlot()
        return false
    }

    /// After it has met another reader.
    @usableFromInline @inline(never)
    func readLockContended() -> ReadTicket {
        guard readLockByState() else { return readLockSlow() }
        considerBias()
        return .counted
    }

    /// Nil beside a writer.
    @usableFromInline @inline(never)
    func tryReadLock() -> ReadTicket? {
        if readLockByBias() { return .inSlot }
        return readLockByState() ? .counted : nil
    }

    /// False beside a writer.
    private func readLockByState() -> Bool {
        var now = core.state.load(ordering: .relaxed)
        while now & Self.writerBit == 0 {
            let (exchanged, original) = core.state.compareExchange(
                expected: now, desired: now + 1, ordering: .acquiring)
            if exchanged { return true }
            now = original
        }
        return false
    }

    @usableFromInline @inline(never)
    func readLockSlow() -> ReadTicket {
        lock.lock()
        var now = core.state.load(ordering: .relaxed)
        while true {
            let isFree = now & Self.writerBit == 0
            let (exchanged, original) = core.state.compareExchange(
                expected: now, desired: isFree ? now + 1 : now | Self.queuedBit, ordering: .acquiringAndReleasing)
            if exchanged, isFree {
                lock.unlock()
                return .counted
            }
            if exchanged { break }
            now = original
        }
        unsafe Waiter.withOwn { waiter in
            // SAFETY: under the lock. The writer that wakes us has counted us in `state`.
            unsafe core.readers.append(waiter)
            unsafe waiter.pointee.party.block(.readLock, .unlock(lock))
        }
        return .counted
    }

    @inlinable @inline(__always)
    func readUnlock(_ ticket: ReadTicket) {
        if ticket == .inSlot { return leaveSlot() }
        let now = core.state.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        if now & Self.writerBit != 0 { leaveBesideWriter(now) }
    }

    @usableFromInline @inline(never)
    func leaveBesideWriter(_ now: UInt32) {
        if now & Self.countMask == 0 { wakeDrainer() }
    }

    @inlinable @inline(__always)
    func leaveSlot() {
        // Set before the first reader could come in by them.
        unsafe csp_reader_out(core.slots!)
        csp_compiler_barrier()
        if unsafe core.bias.load(ordering: .relaxed) == nil { wakeDrainer() }
    }

    @usableFromInline @inline(never)
    func wakeDrainer() {
        lock.lock()
        guard let waiter = unsafe core.drainer, isDrained else { return lock.unlock() }
        unsafe core.drainer = nil
        // SAFETY: no longer named by the core, so it stays parked until we call ready.
        let party = unsafe waiter.pointee.party
        lock.unlock()
        party.ready()
    }

    /// From a reader who is inside by `state`, after it has met another one there.
    @inline(never)
    private func considerBias() {
        guard MutexRef.calm == 0, lock.tryLock() else { return }
        defer { lock.unlock() }
        guard core.state.load(ordering: .relaxed) & Self.writerBit == 0, Clock.now >= core.unbiasedUntil else { return }
        if unsafe core.slots == nil { unsafe core.slots = ReaderSlots.make() }
        unsafe core.bias.store(core.slots, ordering: .releasing)
    }

    // MARK: Write

    @usableFromInline @inline(never)
    func writeLock() {
        writers.lock(.writeLock)
        if !writeLockFast() { writeLockSlow() }
    }

    /// True if there is nobody inside, and no bias.
    @inline(__always)
    private func writeLockFast() -> Bool {
        guard
            core.state.compareExchange(expected: 0, desired: Self.writerBit, ordering: .acquiringAndReleasing).exchanged
        else { return false }
        return unsafe core.bias.load(ordering: .acquiring) == nil
    }

    @inline(never)
    private func writeLockSlow() {
        lock.lock()
        close()
        if isDrained { return lock.unlock() }
        unsafe Waiter.withOwn { waiter in
            // SAFETY: under the lock.
            unsafe core.drainer = unsafe waiter
            unsafe waiter.pointee.party.block(.writeLock, .unlock(lock))
        }
    }

    /// Under the lock: from now on readers queue. True if there was a bias.
    @discardableResult
    private func close() -> Bool {
        core.state.bitwiseOr(Self.writerBit, ordering: .acquiringAndReleasing)
        if unsafe core.bias.load(ordering: .relaxed) == nil { return false }
        unsafe core.bias.store(nil, ordering: .sequentiallyConsistent)
        csp_membarrier()
        core.unbiasedUntil = Clock.now + Self.longestUnbiased
        return true
    }

    /// Under the lock, after `close`.
    private var isDrained: Bool {
        if core.state.load(ordering: .acquiring) & Self.countMask != 0 { return false }
        guard let slots = unsafe core.slots else { return true }
        return unsafe ReaderSlots.areEmpty(slots)
    }

    /// False beside anybody.
    @usableFromInline @inline(never)
    func tryWriteLock() -> Bool {
        guard writers.tryLock() else { return false }
        if writeLockFast() { return true }
        // Under another reader without more ado; but with a bias only a closer look tells.
        if core.state.load(ordering: .relaxed) & Self.countMask == 0 {
            lock.lock()
            let wasBiased = close()
            let isOurs = isDrained
            // Without a bias, nobody looks at the slots.
            if !isOurs, wasBiased { unsafe core.bias.store(core.slots, ordering: .releasing) }
            lock.unlock()
            if isOurs { return true }
            reopen()
        }
        writers.unlock()
        return false
    }

    @usableFromInline @inline(never)
    func writeUnlock() {
        if !core.state.compareExchange(expected: Self.writerBit, desired: 0, ordering: .acquiringAndReleasing).exchanged
        {
            reopen()
        }
        writers.unlock()
    }

    /// Lets all the readers in that have queued, before the next writer.
    @inline(never)
    private func reopen() {
        lock.lock()
        var woken = ReadyChain()
        var count: UInt32 = 0
        // SAFETY: under the lock; a waiter off the list stays parked until it is made ready.
        while let waiter = unsafe core.readers.takeFirst() {
            unsafe woken.append(waiter)
            count += 1
        }
        // A reader may still be inside whom a try has only passed by.
        core.state.wrappingAdd(count, ordering: .acquiringAndReleasing)
        core.state.bitwiseAnd(Self.countMask, ordering: .acquiringAndReleasing)
        lock.unlock()
        woken.ready()
    }
}

/// A reader-writer mutex's slots; csp_reader_in counts.
private enum ReaderSlots {
    // SAFETY: (whole type) memory of `count` slots, of which the words are used through atomics only.
    private static let count = min(64, 4 * Int(csp_affinity_cpus()))

    static func make() -> UnsafeMutablePointer<csp_reader_slot> {
        let alignment = MemoryLayout<csp_reader_slot>.stride
        let slots = unsafe UnsafeMutableRawPointer.allocate(byteCount: count * alignment, alignment: alignment)
            .bindMemory(to: csp_reader_slot.self, capacity: count)
        unsafe slots.initialize(repeating: csp_reader_slot(), count: count)
        unsafe slots.pointee.count = UInt64(count)
        return unsafe slots
    }

    /// Whether as many are out as in. Whoever is seen out is then seen in.
    static func areEmpty(_ slots: UnsafeMutablePointer<csp_reader_slot>) -> Bool {
        let out = unsafe sum(1, slots)
        return unsafe sum(0, slots) == out
    }

    private static func sum(_ word: Int, _ slots: UnsafeMutablePointer<csp_reader_slot>) -> UInt64 {
        var sum: UInt64 = 0
        for index in 0..<count {
            let words = unsafe UnsafeMutableRawPointer(slots + index).assumingMemoryBound(to: Atomic<UInt64>.self)
            unsafe sum &+= words[word].load(ordering: .acquiring)
        }
        return sum
    }
}
