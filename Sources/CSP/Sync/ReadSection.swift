import CCSP
import Synchronization

/// The time in which somebody looks at memory that a writer may be taking out of use: whoever frees such memory first makes sure that nobody can be
/// looking at it any more.
///
/// A reader loads the current bank (B), counts itself in there at its thread's gate (E), loads the pointers that lead to the memory (L), and
/// counts itself out of that bank of that gate (X), on whatever thread it is by then. A writer first makes sure that no pointer leads to the memory any more
/// (U), and then asks for the `next` grace period; when that is over it may free the memory. Whoever comes along takes a grace period further, and nobody waits
/// for one:
/// 1. It begins: its number is counted. membarrier (M). The bank that is not current must be empty.
/// 2. The banks change roles. The bank that was current must be empty. It is over.
/// That a bank is empty is found by looking at each gate in turn, first at who is out (O) and then at who is in (I), which must be equal.
///
/// Why it holds, for a reader who can still see the memory, that is, whose L missed U:
/// - U was before M, since the writer's look at the number of begun periods came before that number was counted; so L came before M's point in the
///   reader's instruction stream, and so did E: whoever looks at its bank after M sees that it is in. And each bank is looked at after M, and has to
///   be empty.
/// - Both numbers only grow, and nobody is out before being in. So if O equals I, which was read later, then nobody was inside at the
///   time of O: all who had entered that gate before have left. All gates need not be empty at the same time.
/// - X releases and O acquires, so a reader's last look happens before the memory is freed.
/// Why it comes to an end: readers who come after a bank has ceased to be current go into the other one, so that it empties as soon as the last of
/// its readers leaves, however many come. (But for one that has loaded B just before. It may be in a bank after that was found empty: which is
/// why step 1 of the next period looks at that bank again.)
/// Where membarrier is refused, readers fence between E and L, and M is a fence, which together do the same.
///
/// A worker has a gate of its own, where counting takes a load and a store; a reader who leaves on another thread than it entered on counts
/// itself out by `outElsewhere`. All other threads share some gates, and count by atomic additions. (In the terms of P. McKenney's "Is Parallel
/// Programming Hard", chapter 9: a sleepable RCU whose grace periods are polled.)
@usableFromInline
@safe
@frozen
struct ReadSection {
    // SAFETY: (whole type) the gates are static; their words are used through atomics only.
    /// One bank of a gate.
    @usableFromInline let counts: UnsafeMutablePointer<csp_read_counts>

    // Neither is to be inlined where a goroutine may change threads.
    @usableFromInline @inline(never)
    static func enter() -> ReadSection {
        let gate = unsafe csp_current_read_gate()!
        let section = unsafe ReadSection(counts: bank(GracePeriods.current.load(ordering: .relaxed), of: gate))
        if unsafe isShared(gate) {
            unsafe section.in.pointee.wrappingAdd(1, ordering: .relaxed)
        } else {
            unsafe section.in.pointee.store(section.in.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        }
        csp_compiler_barrier()
        if unsafe !csp_get_lock_table()!.pointee.asymmetric { atomicMemoryFence(ordering: .sequentiallyConsistent) }
        return section
    }

    @usableFromInline @inline(never)
    func leave() {
        let gate = unsafe csp_current_read_gate()!
        if unsafe !Self.isShared(gate) && (counts == Self.bank(0, of: gate) || counts == Self.bank(1, of: gate)) {
            unsafe out.pointee.store(out.pointee.load(ordering: .relaxed) &+ 1, ordering: .releasing)
        } else {
            unsafe outElsewhere.pointee.wrappingAdd(1, ordering: .releasing)
        }
    }

    private static func isShared(_ gate: UnsafeMutablePointer<csp_read_gate>) -> Bool {
        unsafe gate < csp_get_read_gate(Int32(CSP_SHARED_READ_GATES))
    }

    private static func bank(
        _ index: Int, of gate: UnsafeMutablePointer<csp_read_gate>
    ) -> UnsafeMutablePointer<csp_read_counts> {
        unsafe UnsafeMutableRawPointer(gate).assumingMemoryBound(to: csp_read_counts.self) + index
    }

    private var `in`: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words }
    private var out: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words + 1 }
    private var outElsewhere: UnsafeMutablePointer<Atomic<UInt64>> { unsafe words + 2 }
    private var words: UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe UnsafeMutableRawPointer(counts).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    // MARK: For GracePeriods

    /// Whether all are out of a bank who were in it when it was looked at.
    fileprivate static func isEmpty(bank index: Int) -> Bool {
        for gate in 0..<Int32(CSP_READ_GATES) {
            let section = unsafe ReadSection(counts: bank(index, of: csp_get_read_gate(gate)))
            let left =
                unsafe section.out.pointee.load(ordering: .acquiring)
                &+ section.outElsewhere.pointee.load(ordering: .acquiring)
            if unsafe section.in.pointee.load(ordering: .acquiring) != left { return false }
        }
        return true
    }
}

/// How writers know when what they have taken out of use can be freed: see `ReadSection`.
enum GracePeriods {
    // SAFETY: (whole type) the one variable is guarded by the lock.
    /// The bank that readers go into.
    fileprivate static let current = Atomic<Int>(0)
    private static let begun = Atomic<UInt64>(0)
    private static let over = Atomic<UInt64>(0)
    private static let lock = OwnedLock()
    // Guarded by the lock.
    /// Where the period is that has begun and is not over.
    private nonisolated(unsafe) static var hasFlipped = false

    /// The number of the first one that begins after this call.
    static var next: UInt64 {
        if unsafe !csp_get_lock_table()!.pointee.asymmetric { atomicMemoryFence(ordering: .sequentiallyConsistent) }
        return RaceDetector.ignoring { begun.load(ordering: .acquiring) + 1 }
    }

    static func isOver(_ number: UInt64) -> Bool {
        RaceDetector.ignoring { over.load(ordering: .acquiring) >= number }
    }

    /// Takes things as far as they go towards the end of `number`. True if it is over.
    static func advance(to number: UInt64) -> Bool { RaceDetector.ignoring { advanceUnseen(to: number) } }

    private static func advanceUnseen(to number: UInt64) -> Bool {
        while !isOver(number) {
            // If somebody else is at it he does the same.
            guard lock.tryLock() else { return isOver(number) }
            defer { lock.unlock() }
            // Two at the most: the one that has begun, and the next.
            if begun.load(ordering: .relaxed) == over.load(ordering: .relaxed) {
                begun.add(1, ordering: .sequentiallyConsistent)
                unsafe hasFlipped = false
                if unsafe csp_get_lock_table()!.pointee.asymmetric {
                    csp_membarrier()
                } else {
                    atomicMemoryFence(ordering: .sequentiallyConsistent)
                }
            }
            let bank = current.load(ordering: .relaxed)
            if unsafe !hasFlipped {
                guard ReadSection.isEmpty(bank: 1 - bank) else { return false }
                current.store(1 - bank, ordering: .sequentiallyConsistent)
                unsafe hasFlipped = true
            }
            guard ReadSection.isEmpty(bank: 1 - current.load(ordering: .relaxed)) else { return false }
            over.store(begun.load(ordering: .relaxed), ordering: .releasing)
        }
        return true
    }
}
