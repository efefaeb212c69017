import Synchronization

/// Runnable goroutines that belong to no processor: overflow of the local queues, and what threads outside make ready.
///
/// A ring of references and not a chain through the goroutines: these are in no cache when their turn comes, and each link would
/// be a wait for memory.
@safe
struct GlobalQueue: ~Copyable {
    // SAFETY: (whole type) places are masked into the ring, whose size is a power of two; the memory is ours.
    /// Read without the lock as a hint, and by the idle protocol (see Idle.swift), hence sequentially consistent.
    let count = Atomic<Int>(0)
    // In the same cache line as what it guards: a thread outside and a worker pass both to and fro.
    private let word = Atomic<UInt32>(0)
    // Guarded by the lock. Indices only grow.
    private var ring = UnsafeMutablePointer<GoroutineRef>.allocate(capacity: 1024)
    private var capacity = 1024
    private var head = 0
    private var tail = 0

    private var lock: LockWord {
        unsafe withUnsafePointer(to: word) { unsafe LockWord(UnsafeMutablePointer(mutating: $0)) }
    }

    mutating func append(_ goroutine: GoroutineRef) { append(1) { _ in goroutine } }

    /// Appends what `goroutine` returns for 0..<added, in order.
    mutating func append(_ added: Int, _ goroutine: (Int) -> GoroutineRef) {
        lock.lock()
        while tail - head + added > capacity { grow() }
        for index in 0..<added {
            unsafe (ring + (tail & (capacity - 1))).initialize(to: goroutine(index))
            tail += 1
        }
        count.store(tail - head, ordering: .sequentiallyConsistent)
        lock.unlock()
    }

    /// Takes up to `limit`, in order.
    mutating func take(_ limit: Int, _ body: (GoroutineRef) -> Void) {
        guard count.load(ordering: .relaxed) > 0 else { return }
        lock.lock()
        let end = head + min(limit, tail - head)
        while head < end {
            unsafe body(ring[head & (capacity - 1)])
            head += 1
        }
        count.store(tail - head, ordering: .sequentiallyConsistent)
        lock.unlock()
    }

    /// Runs `body` with the ring's memory, under the lock: for searches.
    func withMemory<T>(_ body: (UnsafeRawBufferPointer) -> T) -> T {
        lock.lock()
        defer { lock.unlock() }
        return unsafe body(UnsafeRawBufferPointer(UnsafeBufferPointer(start: ring, count: capacity)))
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<GoroutineRef>.allocate(capacity: capacity * 2)
        for index in head..<tail {
            unsafe (larger + (index & (capacity * 2 - 1))).initialize(to: ring[index & (capacity - 1)])
        }
        unsafe ring.deallocate()
        unsafe ring = unsafe larger
        capacity *= 2
    }
}
