import Synchronization

/// Keeps items that are dear to make for whoever needs one next (Go's `sync.Pool`).
///
/// Each processor has a cache of its own, so that taking and putting touch no other one's memory; whoever finds his own empty takes from
/// another before it makes a new item. Any item that was put may be taken by anybody, or by nobody. What happens before a `put` happens before
/// the `take` that returns that item (https://pkg.go.dev/sync#Pool).
///
/// Go drops pooled items when it collects garbage, those that nobody took since the collection before. Here there is no collector, so time does
/// it: an item that nobody takes for ten to twenty seconds is released, also in a program that is idle otherwise. `removeAll` releases
/// everything at once.
@safe
public final class Pool<Item>: @unchecked Sendable {
    // SAFETY: (whole type) each shelf is guarded by its lock and lives as long as the pool; items are moved in as `sending`, and out.
    private let make: @Sendable () -> sending Item
    private let shelves: UnsafeMutablePointer<Shelf>
    private let shelfCount: Int
    /// Whether `ageing` will run.
    private let willAge = Atomic<Bool>(false)
    private static var period: Duration { .seconds(10) }

    /// One processor's items, and the lock that is nearly always free: only those who find nothing on their own shelf come from elsewhere.
    private struct Shelf: ~Copyable {
        /// The youngest is last: it may still be in this core's cache.
        var items: [Item] = []
        /// Those that have been here since before the last look.
        var old: [Item] = []
        /// Must be third.
        let lockWord = Atomic<UInt32>(0)
        /// Keeps neighbours' locks off this one's cache line.
        let padding = InlineArray<13, UInt64>(repeating: 0)
    }

    /// - Parameter make: Makes an item for who takes from an empty pool.
    public init(_ make: @escaping @Sendable () -> sending Item) {
        self.make = make
        shelfCount = NearbyIndex.count
        unsafe shelves = .allocate(capacity: shelfCount)
        for index in 0..<shelfCount { unsafe (shelves + index).initialize(to: Shelf()) }
    }

    deinit {
        unsafe shelves.deinitialize(count: shelfCount)
        unsafe shelves.deallocate()
    }

    /// An item that somebody has put, or else a new one.
    /// - Complexity: O(1) if there is one at hand; else up to one look per processor, and `make`.
    public func take() -> sending Item {
        let own = NearbyIndex.current
        for distance in 0..<shelfCount {
            if let item = takeItem(from: (own + distance) & (shelfCount - 1)) {
                return unsafe UnsafeTransfer(item).value
            }
        }
        return make()
    }

    /// Keeps `item` for somebody else.
    /// - Complexity: O(1).
    public func put(_ item: sending Item) {
        let item = unsafe UnsafeTransfer(item)
        withShelf(NearbyIndex.current) { unsafe $0.items.append(item.value) }
        if !willAge.load(ordering: .relaxed) { startAgeing() }
    }

    /// Releases all the items.
    public func removeAll() {
        _ = age()
        _ = age()
    }

    private func takeItem(from index: Int) -> Item? {
        withShelf(index) { shelf in shelf.items.popLast() ?? shelf.old.popLast() }
    }

    private func withShelf<T>(_ index: Int, _ body: (inout Shelf) -> T) -> T {
        unsafe withShelf(shelves + index, body)
    }

    private func withShelf<T>(_ shelf: UnsafeMutablePointer<Shelf>, _ body: (inout Shelf) -> T) -> T {
        let lock = unsafe LockWord(at: shelf, offset: 2 * MemoryLayout<[Item]>.size)
        lock.lock()
        defer { lock.unlock() }
        return unsafe body(&shelf.pointee)
    }

    // MARK: Ageing

    private func startAgeing() {
        guard !willAge.exchange(true, ordering: .relaxed) else { return }
        _ = Time.Timer(Self.period) { [weak self] in self?.ageing() }
    }

    /// In a goroutine of its own.
    private func ageing() {
        willAge.store(false, ordering: .relaxed)
        if age() { startAgeing() }
    }

    /// Releases what was old already, and makes the rest old. True if there is anything left.
    package func age() -> Bool {
        var isAnyLeft = false
        for index in 0..<shelfCount {
            // Released outside the lock: it may run any code.
            var released: [Item] = []
            withShelf(index) { shelf in
                swap(&released, &shelf.old)
                swap(&shelf.old, &shelf.items)
                if !shelf.old.isEmpty { isAnyLeft = true }
            }
        }
        return isAnyLeft
    }
}
