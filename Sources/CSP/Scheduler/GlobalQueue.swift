import Synchronization

/// Runnable goroutines that belong to no processor: overflow of the local queues, and what threads outside make ready.
struct GlobalQueue: ~Copyable {
    /// Read without the lock as a hint, and by the idle protocol (see Idle.swift), hence sequentially consistent.
    let count = Atomic<Int>(0)
    private let lock = OwnedLock()
    // Guarded by lock.
    private var chain = GoroutineChain()

    mutating func append(_ goroutine: GoroutineRef) {
        var one = GoroutineChain()
        one.append(goroutine)
        append(one)
    }

    mutating func append(_ goroutines: GoroutineChain) {
        lock.lock()
        chain.append(goroutines)
        count.store(chain.count, ordering: .sequentiallyConsistent)
        lock.unlock()
    }

    /// Takes up to `limit`.
    mutating func take(_ limit: Int) -> GoroutineChain {
        var taken = GoroutineChain()
        guard count.load(ordering: .relaxed) > 0 else { return taken }
        lock.lock()
        while taken.count < limit, let goroutine = chain.popFirst() { taken.append(goroutine) }
        count.store(chain.count, ordering: .sequentiallyConsistent)
        lock.unlock()
        return taken
    }
}
