public import CCSP
public import Synchronization

/// A 32-bit lock: 1 while held; while free, whatever its last holder published (a channel's readiness, or 0).
///
/// Taking it is one exchange, releasing it one plain store and one load:
/// - A holder stores `free value` (S), then loads the sleeper count of the lock's bucket (L), and wakes a sleeper if
///   there is one.
/// - A sleeper raises that count (W), runs membarrier, then exchanges the word once more, and sleeps only while the
///   kernel finds it still 1.
/// Lost wake-up is impossible: if L missed W, then L came before the barrier's point in the holder's instruction stream, so
/// S, which precedes L there, is visible to the exchange after the barrier, and the sleeper takes the lock. Where membarrier is
/// refused the counts begin above zero, so that each release goes the slow way, which fences.
/// The count is not in the lock: once S is done another thread may take, release and free the lock's memory, which the
/// holder therefore must not read. A futex wake on an address that is gone does nothing.
@usableFromInline
@safe
struct LockWord: Equatable, @unchecked Sendable {
    // SAFETY: (whole type) whoever holds a handle keeps the word's memory; sleepers are counted in an immortal table.
    @usableFromInline let word: UnsafeMutablePointer<Atomic<UInt32>>

    // SAFETY: the caller keeps the lock's memory alive until it has released the lock.
    @inlinable @inline(__always)
    init(_ word: UnsafeMutablePointer<Atomic<UInt32>>) { unsafe self.word = unsafe word }

    @inlinable @inline(__always)
    init(at address: UnsafeMutableRawPointer) {
        unsafe self.word = unsafe address.assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// The lock that is `offset` bytes behind the beginning of a struct, with what it guards in front of it: to change any field of a struct counts
    /// as access to its first byte where ThreadSanitizer looks, and the lock is read by those who do not hold it.
    @inlinable @inline(__always)
    init(at address: UnsafeMutableRawPointer, offset: Int) { unsafe self.init(at: address + offset) }

    /// The lock that is the first stored property of `object`, an `Atomic<UInt32>`. Whoever uses it keeps the object.
    @inline(__always)
    init(firstPropertyOf object: AnyObject) {
        unsafe self.init(at: Unmanaged.passUnretained(object).toOpaque() + Channel<Never>.headerSize)
    }

    @usableFromInline static var held: UInt32 { @inlinable @inline(__always) get { 1 } }

    @inlinable @inline(__always)
    static func == (a: LockWord, b: LockWord) -> Bool { unsafe a.word == b.word }

    /// For C.
    @inlinable @inline(__always)
    var address: UnsafePointer<UInt32> { unsafe UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self) }

    /// The word as it is now.
    @inlinable @inline(__always)
    func peek() -> UInt32 { unsafe word.pointee.load(ordering: .acquiring) }

    @inlinable @inline(__always)
    func lock() {
        if unsafe word.pointee.exchange(Self.held, ordering: .acquiring) == Self.held { lockSlow() }
    }

    @inlinable @inline(__always)
    func tryLock() -> Bool {
        unsafe word.pointee.exchange(Self.held, ordering: .acquiring) != Self.held
    }

    @inlinable @inline(__always)
    func unlock(publishing free: UInt32 = 0) {
        let sleepers = unsafe self.sleepers
        // LLVM moves retains down across loads and stores, atomic ones too: that of a reference which was put where the next holder finds it would come
        // after the release, when he may have let go of the object's last one already.
        csp_compiler_barrier()
        unsafe word.pointee.store(free, ordering: .releasing)
        csp_compiler_barrier()
        if unsafe sleepers.pointee.load(ordering: .relaxed) != 0 { wakeSlow() }
    }

    @usableFromInline
    var sleepers: UnsafeMutablePointer<Atomic<UInt32>> {
        // SAFETY: the table is a static array of CSP_LOCK_BUCKETS words, used through atomics only.
        @inlinable @inline(__always) get {
            let bucket = (unsafe UInt(bitPattern: word) >> 6) & 63
            let table = unsafe UnsafeMutableRawPointer(csp_get_lock_table()!)
            return unsafe (table + Int(bucket) * 4).assumingMemoryBound(to: Atomic<UInt32>.self)
        }
    }

    @usableFromInline @inline(never)
    func lockSlow() {
        // Backs off more and more: whoever is at the lock does several operations meanwhile with the data in its cache, and passing that to and
        // fro is what contention costs.
        var pauses = 4
        for _ in 0..<16 {
            for _ in 0..<pauses { csp_pause() }
            pauses = min(256, pauses * 2)
            if unsafe word.pointee.load(ordering: .relaxed) != Self.held, tryLock() { return }
        }
        // SAFETY: as above; the futex word is the lock itself.
        // Other locks are counted in the same place, which is no order between them.
        RaceDetector.ignoring { _ = unsafe sleepers.pointee.add(1, ordering: .sequentiallyConsistent) }
        if unsafe csp_get_lock_table()!.pointee.asymmetric { csp_membarrier() }
        while !tryLock() {
            unsafe csp_futex_wait(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), Self.held, -1)
        }
        unsafe sleepers.pointee.subtract(1, ordering: .relaxed)
    }

    @usableFromInline @inline(never)
    func wakeSlow() {
        if unsafe !csp_get_lock_table()!.pointee.asymmetric {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            if unsafe sleepers.pointee.load(ordering: .relaxed) == CSP_LOCK_BIAS { return }
        }
        unsafe csp_futex_wake(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), 1)
    }
}
