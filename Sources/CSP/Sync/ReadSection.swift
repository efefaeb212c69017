public import CCSP
import Synchronization

/// The time in which somebody looks at memory that a writer may be taking out of use: whoever frees such memory first makes sure that nobody can be
/// looking at it any more.
///
/// A reader counts itself in at its thread's gate (E), loads the pointers that lead to the memory (L), and counts itself out at the same gate
/// (X), on whatever thread it is by then. A writer first makes sure that no pointer leads there any more (U), then runs membarrier, then looks at each gate in
/// turn, first at who is out (O), then at who is in (I); having found as many out as in at each of them, it may free what it had taken
/// out of use before. Why:
/// - If a reader's L came before the barrier's point in its instruction stream then so did E, and I sees it. If L came after then it sees U.
///   Where membarrier is refused, readers fence between E and L instead.
/// - Both numbers only grow, and nobody is out before being in. So if O equals I, which was read later, then there was nobody inside at the time of O:
///   all who had entered that gate before have left. All gates need not have been empty at the same time.
/// - X releases and O acquires, so a reader's last look happens before the memory is freed.
///
/// A worker has a gate of its own, where counting takes a load and a store; a reader who leaves on another thread than it entered on counts
/// itself out by `outElsewhere`. All other threads share some gates, and count by atomic additions. A writer never waits: what it cannot free now it keeps,
/// and looks again later. (In the terms of P. McKenney's "Is Parallel Programming Hard", chapter 9, this is a sleepable RCU without grace periods.)
@usableFromInline
@safe
@frozen
struct ReadSection {
    // SAFETY: (whole type) the gates are static; their words are used through atomics only.
    @usableFromInline let gate: UnsafeMutablePointer<csp_read_gate>

    // Neither is to be inlined where a goroutine may change threads.
    @usableFromInline @inline(never)
    static func enter() -> ReadSection {
        let section = unsafe ReadSection(gate: csp_current_read_gate())
        if section.isShared {
            unsafe section.in.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        } else {
            unsafe section.in.pointee.store(section.in.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
            csp_compiler_barrier()
            if unsafe !csp_get_lock_table()!.pointee.asymmetric { atomicMemoryFence(ordering: .sequentiallyConsistent) }
        }
        return section
    }

    @usableFromInline @inline(never)
    func leave() {
        if unsafe !isShared && csp_current_read_gate() == gate {
            unsafe out.pointee.store(out.pointee.load(ordering: .relaxed) &+ 1, ordering: .releasing)
        } else {
            unsafe outElsewhere.pointee.wrappingAdd(1, ordering: .releasing)
        }
    }

    /// Whether everybody has left who was inside at the beginning of this call. Gives those that are there some nanoseconds.
    @usableFromInline @inline(never)
    static func haveAllLeft() -> Bool {
        if unsafe csp_get_lock_table()!.pointee.asymmetric {
            csp_membarrier()
        } else {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        }
        for index in 0..<Int32(CSP_READ_GATES) {
            guard unsafe ReadSection(gate: csp_get_read_gate(index)).isEmptySoon else { return false }
        }
        return true
    }

    private var isEmptySoon: Bool {
        for _ in 0..<16 {
            let left = unsafe out.pointee.load(ordering: .acquiring) &+ outElsewhere.pointee.load(ordering: .acquiring)
            if unsafe self.in.pointee.load(ordering: .acquiring) == left { return true }
        }
        return false
    }

    private var isShared: Bool { unsafe gate < csp_get_read_gate(Int32(CSP_SHARED_READ_GATES)) }

    private var `in`: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words }
    private var out: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words + 1 }
    private var outElsewhere: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words + 2 }
    private var words: UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe UnsafeMutableRawPointer(gate).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
