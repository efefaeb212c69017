import CCSP
import Synchronization

/// A processor's queue of runnable goroutines: a ring that its owner fills at the tail, and from whose head owner and
/// thieves take.
///
/// Invariant: the goroutines at indices head..<tail are runnable and belong to the queue. Only the owner moves the tail; whoever
/// moves the head by compare-exchange from h to h+n owns the goroutines h..<h+n.
/// Orderings: the owner publishes a slot by the releasing store of the tail; a thief reads the tail acquiring, then the slots, and
/// only uses what it read if its compare-exchange of the head succeeds. A slot is overwritten only when its index is below
/// the head by a whole ring, which the owner learns by an acquiring load of the head, so a thief that read an
/// overwritten slot fails its exchange. The indices wrap at 2^32, a multiple of the ring's size.
@safe
struct RunQueue: ~Copyable {
    static let capacity: UInt32 = 1024

    let head = Atomic<UInt32>(0)
    let tail = Atomic<UInt32>(0)
    private let slots: UnsafeMutablePointer<Atomic<UnsafeMutableRawPointer?>>

    init() {
        // SAFETY: initialised here, used through atomics, never freed.
        unsafe slots = .allocate(capacity: Int(Self.capacity))
        for index in 0..<Int(Self.capacity) { unsafe (slots + index).initialize(to: Atomic(nil)) }
    }

    // SAFETY: (whole type) indices are masked into the ring; the pointers stored are goroutines' immortal control blocks.
    @inline(__always)
    private func slot(_ index: UInt32) -> UnsafeMutablePointer<Atomic<UnsafeMutableRawPointer?>> {
        unsafe slots + Int(index & (Self.capacity - 1))
    }

    var isEmpty: Bool { head.load(ordering: .relaxed) == tail.load(ordering: .relaxed) }
    var count: Int {
        let last = tail.load(ordering: .acquiring)
        return Int(max(0, Int32(bitPattern: last &- head.load(ordering: .acquiring))))
    }

    /// Owner only. False when full.
    @inline(__always)
    func push(_ goroutine: GoroutineRef) -> Bool {
        let first = head.load(ordering: .acquiring), last = tail.load(ordering: .relaxed)
        guard last &- first < Self.capacity else { return false }
        unsafe slot(last).pointee.store(UnsafeMutableRawPointer(goroutine.pointer), ordering: .relaxed)
        tail.store(last &+ 1, ordering: .releasing)
        return true
    }

    /// Owner only.
    @inline(__always)
    func pop() -> GoroutineRef? {
        let last = tail.load(ordering: .relaxed)
        var first = head.load(ordering: .acquiring)
        while first != last {
            let taken = unsafe slot(first).pointee.load(ordering: .relaxed)
            let (exchanged, now) = head.compareExchange(
                expected: first, desired: first &+ 1, ordering: .acquiringAndReleasing)
            if exchanged {
                fetchAhead(first, last)
                return unsafe GoroutineRef(taken)
            }
            first = now
        }
        return nil
    }

    /// A goroutine that has waited for long is in no cache, and waiting for memory is most of what it costs to wake it. The slots may be a
    /// thief's by now: fetching is harmless, since control blocks are immortal.
    @inline(__always)
    private func fetchAhead(_ taken: UInt32, _ end: UInt32) {
        guard end &- taken > 6 else { return }
        unsafe csp_prefetch_block(slot(taken &+ 6).pointee.load(ordering: .relaxed))
        unsafe csp_prefetch_stack(slot(taken &+ 3).pointee.load(ordering: .relaxed))
    }

    /// Owner only: moves half of a full queue to the global one, and `last` behind it. False when a thief made room meanwhile.
    func moveHalf(to global: inout GlobalQueue, and last: GoroutineRef) -> Bool {
        let first = head.load(ordering: .acquiring), end = tail.load(ordering: .relaxed)
        let taken = (end &- first) / 2
        guard taken > 0,
            head.compareExchange(expected: first, desired: first &+ taken, ordering: .acquiringAndReleasing).exchanged
        else { return false }
        // Ours now; and nobody else overwrites slots.
        global.append(Int(taken) + 1) { index in
            index == Int(taken)
                ? last
                : unsafe GoroutineRef(slot(first &+ UInt32(index)).pointee.load(ordering: .relaxed))!
        }
        return true
    }

    /// Moves the older half, and only goroutines below index `limit`, to `thief`'s empty queue, all but one, which is returned.
    func steal(below limit: UInt32, into thief: borrowing RunQueue) -> GoroutineRef? {
        while true {
            let first = head.load(ordering: .acquiring), last = tail.load(ordering: .acquiring)
            let waiting = last &- first
            let old = limit &- first
            guard waiting > 0, waiting <= Self.capacity, Int32(bitPattern: old) > 0 else { return nil }
            let taken = min(waiting - waiting / 2, old)
            let end = thief.tail.load(ordering: .relaxed)
            for offset in 0..<taken {
                let pointer = unsafe slot(first &+ offset).pointee.load(ordering: .relaxed)
                unsafe thief.slot(end &+ offset).pointee.store(pointer, ordering: .relaxed)
            }
            guard
                head.compareExchange(expected: first, desired: first &+ taken, ordering: .acquiringAndReleasing)
                    .exchanged
            else { continue }
            let newest = unsafe GoroutineRef(thief.slot(end &+ taken &- 1).pointee.load(ordering: .relaxed))
            if taken > 1 { thief.tail.store(end &+ taken &- 1, ordering: .releasing) }
            return newest
        }
    }
}
