import CCSP
import Synchronization

/// A processor's queue of runnable goroutines: a ring that is filled at the tail and emptied at the head. All of it belongs to the
/// processor's worker inside a section, and to others under a claim (see Section.swift), so it needs no read-modify-write; the indices
/// are atomic because everybody looks at them, as a hint. They wrap at 2^32, a multiple of the ring's size.
@safe
struct RunQueue: ~Copyable {
    static let capacity: UInt32 = 1024

    let head = Atomic<UInt32>(0)
    let tail = Atomic<UInt32>(0)
    private let slots: UnsafeMutablePointer<GoroutineRef?>

    init() {
        // SAFETY: initialised here, never freed.
        unsafe slots = .allocate(capacity: Int(Self.capacity))
        unsafe slots.initialize(repeating: nil, count: Int(Self.capacity))
    }

    // SAFETY: (whole type) indices are masked into the ring; control blocks are immortal.
    @inline(__always)
    private func slot(_ index: UInt32) -> UnsafeMutablePointer<GoroutineRef?> {
        unsafe slots + Int(index & (Self.capacity - 1))
    }

    var isEmpty: Bool {
        @inline(__always) get { head.load(ordering: .relaxed) == tail.load(ordering: .relaxed) }
    }
    var count: Int { Int(max(0, Int32(bitPattern: tail.load(ordering: .relaxed) &- head.load(ordering: .relaxed)))) }

    /// False when full.
    @inline(__always)
    func push(_ goroutine: GoroutineRef) -> Bool {
        let first = head.load(ordering: .relaxed), last = tail.load(ordering: .relaxed)
        guard last &- first < Self.capacity else { return false }
        unsafe slot(last).pointee = goroutine
        tail.store(last &+ 1, ordering: .relaxed)
        return true
    }

    @inline(__always)
    func pop() -> GoroutineRef? {
        let first = head.load(ordering: .relaxed), last = tail.load(ordering: .relaxed)
        guard first != last else { return nil }
        head.store(first &+ 1, ordering: .relaxed)
        // A goroutine that has waited for long is in no cache, and waiting for memory is most of what it costs to wake it.
        if last &- first > 6 {
            unsafe csp_prefetch_block(slot(first &+ 6).pointee!.pointer)
            unsafe csp_prefetch_stack(slot(first &+ 3).pointee!.pointer)
        }
        return unsafe slot(first).pointee
    }

    /// Moves half of a full queue to the global one, and `last` behind it.
    func moveHalf(to global: inout GlobalQueue, and last: GoroutineRef) {
        let first = head.load(ordering: .relaxed)
        let taken = (tail.load(ordering: .relaxed) &- first) / 2
        global.append(Int(taken) + 1) { index in
            unsafe index == Int(taken) ? last : slot(first &+ UInt32(index)).pointee!
        }
        head.store(first &+ taken, ordering: .relaxed)
    }

    /// Moves the older half, and only goroutines below index `limit`, to `thief`'s empty queue, all but one, which is returned.
    func steal(below limit: UInt32, into thief: borrowing RunQueue) -> GoroutineRef? {
        let first = head.load(ordering: .relaxed), waiting = tail.load(ordering: .relaxed) &- first
        let old = Int32(bitPattern: limit &- first)
        guard waiting > 0, old > 0 else { return nil }
        let taken = min(waiting - waiting / 2, UInt32(old))
        for offset in 0..<(taken - 1) { _ = unsafe thief.push(slot(first &+ offset).pointee!) }
        head.store(first &+ taken, ordering: .relaxed)
        return unsafe slot(first &+ taken &- 1).pointee
    }
}
