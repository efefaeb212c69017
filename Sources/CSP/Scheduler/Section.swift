import CCSP
import Synchronization

// Who may touch a processor.
//
// A worker uses its processor inside sections, from `enter` to `exit`: plain loads and stores, since no other thread touches the
// processor meanwhile. All others, thieves of goroutines and the monitor that takes a whole processor away, do so under a claim on
// the worker. It is Dekker's handshake, with the whole cost on the side that is rare:
// - A worker stores `inside` (S), then loads `claim` (L), and goes on only if there is none.
// - A claimant sets `claim` (C), runs membarrier, then loads `inside` (I), and goes on only if the worker is outside.
// Both cannot go on. If L came before the barrier's point in the worker's instruction stream then so did S, and I sees it. If
// L came after, then C is visible to it. Where membarrier is refused the worker fences between S and L instead.
// Data: a section's writes are before its release of `inside`, which I acquires; a claim's are before the release of `claim`, which
// L acquires.
//
// A worker in the scheduler's loop is inside all the time; a goroutine is outside but for some nanoseconds now and then. So a claim
// succeeds when a goroutine computes or blocks in the kernel, which is when it is needed.
extension WorkerRef {
    // SAFETY: (whole type) the table is a static of C's.
    /// Begins a section. Nil when the monitor has taken the processor away: the section then only keeps the others out.
    @inline(__always)
    func enter() -> ProcessorRef? {
        begin()
        if cell.claim.load(ordering: .acquiring) != 0 { waitForClaim() }
        return cell.processor
    }

    /// The same for who can do without a section: nil, and no section, when there is a claim, too; and always where membarrier is refused. The same S and L, in
    /// the same order.
    @inline(__always)
    func enterAtOnce() -> ProcessorRef? {
        begin()
        if cell.claim.load(ordering: .acquiring) == 0, let processor = cell.processor { return processor }
        exit()
        return nil
    }

    @inline(__always)
    func exit() { cell.inside.store(0, ordering: .releasing) }

    @inline(__always)
    private func begin() {
        cell.inside.store(1, ordering: .relaxed)
        csp_compiler_barrier()
    }

    @inline(never)
    private func waitForClaim() {
        while true {
            if unsafe !csp_get_lock_table()!.pointee.asymmetric { atomicMemoryFence(ordering: .sequentiallyConsistent) }
            if cell.claim.load(ordering: .acquiring) & Self.claimed == 0 { return }
            exit()
            var spins = 0
            while cell.claim.load(ordering: .relaxed) & Self.claimed != 0 {
                // On a crowded machine the claimant may not be running.
                if spins < 100 { csp_pause() } else { _ = csp_yield_thread() }
                spins += 1
            }
            begin()
        }
    }

    // The values of `claim`. Without membarrier it is never zero, so that each section begins the slow way, which fences.
    private static var claimed: UInt32 { 1 }
    static var unclaimed: UInt32 { unsafe csp_get_lock_table()!.pointee.asymmetric ? 0 : 2 }

    /// For other threads: keeps the worker from entering a section until `endClaim`. False when it is in one, when another thread has a claim, or
    /// when it does not own `processor`.
    func claim(owning processor: ProcessorRef) -> Bool {
        let free = Self.unclaimed
        guard
            cell.claim.compareExchange(
                expected: free, desired: free | Self.claimed, ordering: .sequentiallyConsistent
            ).exchanged
        else { return false }
        if free == 0 { csp_membarrier() } else { atomicMemoryFence(ordering: .sequentiallyConsistent) }
        if cell.inside.load(ordering: .acquiring) == 0, cell.processor == processor { return true }
        endClaim()
        return false
    }

    func endClaim() { cell.claim.store(Self.unclaimed, ordering: .releasing) }
}
