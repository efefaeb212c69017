public import CCSP
public import Synchronization

/// Threads that sleep for a lock, counted by a hash of the lock's address. The counts live here and not in the locks,
/// since a lock's memory may be gone as soon as the lock is free.
@usableFromInline
struct LockSleepers: ~Copyable {
    @usableFromInline static let buckets = 64
    @usableFromInline let counts: UnsafeMutablePointer<Atomic<UInt32>>
    /// Whether membarrier is the sleeper's half of the handshake; otherwise each unlock fences.
    @usableFromInline let asymmetric: Bool

    init() {
        // SAFETY: immortal, zeroed memory of the right size; zero is a valid Atomic<UInt32>.
        unsafe counts = csp_immortal_memory(Self.buckets * MemoryLayout<Atomic<UInt32>>.stride)
            .bindMemory(to: Atomic<UInt32>.self, capacity: Self.buckets)
        asymmetric = csp_membarrier_register()
    }
}
