public import Synchronization

/// A dictionary that goroutines, threads and Swift tasks share (Go's `sync.Map`). Reading, `forEach` included, takes no lock and never waits.
///
/// ```swift
/// let pages = ConcurrentMap<URL, Page>()
/// let (page, wasThere) = pages.loadOrStore(url, try Page(url))
/// pages.update(url) { $0?.visits += 1 }
/// ```
/// Each operation is atomic by itself. `map[key]! += 1` is two of them, a read and a write, between which others may come: use
/// `update`. A write of a key happens before a read that sees it (https://pkg.go.dev/sync#Map). Writers of keys in different parts of the map do not
/// wait for each other; those of the same part do, for the time of one change.
///
/// A value that was replaced or removed is released within some milliseconds, since somebody may be reading it; where readers or writers were in the way for
/// long, within a second after that.
///
/// Where most operations write, or several keys must change together, a `Mutex` around a `Dictionary` is as good and simpler.
@safe
public final class ConcurrentMap<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    // SAFETY: (whole type) see MapShard: entries are looked at inside a read section or with their shard's mutex, and are of type Entry.
    @usableFromInline nonisolated(unsafe) let shards: UnsafeMutableRawPointer
    /// How far a hash is shifted to give its shard.
    @usableFromInline let shift: UInt
    private let shardCount: Int
    /// For `quickHash`.
    @usableFromInline let seeds = (
        UInt64(bitPattern: Int64(1.hashValue)), UInt64(bitPattern: Int64(2.hashValue)) | 1
    )
    /// Whether `freeLate` will run, and after how many milliseconds.
    private let willFree = Atomic<Bool>(false)
    private let freeingDelay = Atomic<Int>(10)

    @usableFromInline
    @safe
    struct Entry {
        /// For the list of the retired.
        let next: UnsafeMutableRawPointer?
        @usableFromInline let key: Key
        @usableFromInline let value: Value

        @usableFromInline
        init(_ key: Key, _ value: Value) {
            unsafe next = nil
            self.key = key
            self.value = value
        }
    }

    @usableFromInline static var stride: Int { @inlinable @inline(__always) get { 128 } }

    /// Without any keys.
    public init() {
        guard MemoryLayout<MapShard>.size <= Self.stride else { fatalUnknownLayout() }
        // Seldom do two of so few writers meet in one.
        shardCount = min(128, 8 * NearbyIndex.count)
        shift = UInt(UInt.bitWidth - shardCount.trailingZeroBitCount)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: shardCount * Self.stride, alignment: Self.stride)
        unsafe shards = memory
        for index in 0..<shardCount {
            unsafe (memory + index * Self.stride).initializeMemory(as: MapShard.self, to: MapShard())
        }
    }

    deinit {
        for index in 0..<shardCount {
            let shard = shard(index)
            // Nobody can be looking any more.
            shard.removeAll()
            unsafe free(shard.takeRetired())
            unsafe free(shard.takeWaiting())
        }
        unsafe shards.deallocate()
    }

    // MARK: Reading

    /// The value of `key`. Setting nil removes it.
    /// - Complexity: O(1). Reading: no lock, and in a goroutine no atomic addition or exchange. Setting: a lock and an allocation.
    public subscript(key: Key) -> Value? {
        @inlinable
        get {
            exploreBefore(.mapRead, self)
            let hash = hash(key)
            let section = ReadSection.enter()
            defer {
                section.leave()
                withExtendedLifetime(self) {}
            }
            guard let table = shard(of: hash).table, let (_, entry) = unsafe find(key, hash, in: table) else {
                return nil
            }
            return unsafe entry.pointee.value
        }
        @inlinable
        set { change(key) { _ in (newValue.map { .store($0) } ?? .remove, ()) } }
    }

    /// How many keys there are; while others write, one of the numbers that there have been meanwhile, or one in between.
    public var count: Int {
        (0..<shardCount).reduce(0) { $0 + Int(shard($1).shard.count.load(ordering: .relaxed)) }
    }

    /// Whether there are no keys, as `count` says.
    public var isEmpty: Bool { count == 0 }

    /// Calls `body` for each key and its value until it returns false.
    ///
    /// No key comes twice. Keys that others store or remove meanwhile may come or not; those that stay do come. `body` may use the map, and
    /// wait.
    /// - Complexity: O(n) for the most keys that there have been, also in memory: a part of the map is copied at a time.
    @inlinable
    public func forEach<E: Error>(_ body: (Key, Value) throws(E) -> Bool) throws(E) {
        for index in 0..<(1 << (UInt(UInt.bitWidth) - shift)) {
            for (key, value) in pairs(in: shard(Int(index))) where try !body(key, value) { return }
        }
    }

    /// A copy as a dictionary, with the same reservations as `forEach`.
    @inlinable
    public func snapshot() -> [Key: Value] {
        var all: [Key: Value] = [:]
        all.reserveCapacity(count)
        forEach {
            all[$0] = $1
            return true
        }
        return all
    }

    // MARK: Changing one key

    /// The value of `key` if there is one, and else `value`, which is stored (Go's `LoadOrStore`).
    ///
    /// - Parameter value: Computed if there is none, without any lock. If somebody else stores one meanwhile then that one counts.
    /// - Returns: The value in the map, and whether it was there.
    @inlinable
    @discardableResult
    public func loadOrStore(_ key: Key, _ value: @autoclosure () throws -> Value) rethrows -> (
        value: Value, loaded: Bool
    ) {
        if let value = self[key] { return (value, true) }
        let value = try value()
        return change(key) { old in
            if let old { (.keep, (old, true)) } else { (.store(value), (value, false)) }
        }
    }

    /// Stores `value` and returns the one before it (Go's `Swap`).
    @inlinable
    @discardableResult
    public func updateValue(_ value: Value, forKey key: Key) -> Value? {
        change(key) { (.store(value), $0) }
    }

    /// Removes `key` and returns its value (Go's `LoadAndDelete`).
    @inlinable
    @discardableResult
    public func removeValue(forKey key: Key) -> Value? {
        change(key) { (.remove, $0) }
    }

    /// Changes the value of `key`, from what it is to what it shall be, in one step: nil stands for none.
    ///
    /// ```swift
    /// counts.update(word) { $0 = ($0 ?? 0) + 1 }
    /// ```
    /// - Parameter body: Runs once, with a part of the map locked: for it to change the same map may be to wait for itself, for ever. If it throws,
    ///   nothing changes. What it changes is a copy, since others may be reading the value: appending to an array copies the array.
    /// - Returns: What `body` returns.
    @inlinable
    @discardableResult
    public func update<T, E: Error>(_ key: Key, _ body: (inout Value?) throws(E) -> T) throws(E) -> T {
        try change(key) { (old) throws(E) in
            var value = old
            let result = try body(&value)
            return (value.map { .store($0) } ?? .remove, result)
        }
    }

    /// Removes everything. Not in one step: a part at a time.
    public func removeAll() {
        for index in 0..<shardCount {
            let shard = shard(index)
            shard.mutex.lock(.mutex)
            shard.removeAll()
            unlock(shard)
        }
    }

    // MARK: How it is done

    /// What becomes of a key.
    @usableFromInline
    enum Change { case keep, remove, store(Value) }

    /// Every change of a key: has `body` look at the value and say what becomes of it, with the shard's mutex.
    @inlinable
    func change<T, E: Error>(_ key: Key, _ body: (Value?) throws(E) -> (Change, T)) throws(E) -> T {
        exploreBefore(.mapUpdate, self)
        let hash = hash(key)
        let shard = shard(of: hash)
        shard.mutex.lock(.mutex)
        defer {
            unlock(shard)
            withExtendedLifetime(self) {}
        }
        guard let table = shard.table, let (slot, entry) = unsafe find(key, hash, in: table) else {
            let (change, result) = try body(nil)
            if case .store(let value) = change { unsafe shard.insert(Self.makeEntry(key, value), hash) }
            return result
        }
        let (change, result) = unsafe try body(entry.pointee.value)
        switch change {
        case .keep: break
        case .remove: unsafe shard.replace(in: slot, by: nil)
        case .store(let value): unsafe shard.replace(in: slot, by: Self.makeEntry(entry.pointee.key, value))
        }
        return result
    }

    @inlinable @inline(__always)
    static func makeEntry(_ key: Key, _ value: Value) -> UnsafeMutableRawPointer {
        let entry = unsafe UnsafeMutablePointer<Entry>.allocateOne()
        unsafe entry.initialize(to: Entry(key, value))
        return UnsafeMutableRawPointer(entry)
    }

    /// Inside a read section, or with the shard's mutex.
    @inlinable @inline(__always)
    func find(_ key: Key, _ hash: UInt, in table: MapTable) -> (UnsafeMutablePointer<MapSlot>, UnsafePointer<Entry>)? {
        let mask = table.mask
        var index = hash & mask
        while true {
            let slot = unsafe table.slot(index)
            let found = unsafe slot.pointee.hash.load(ordering: .acquiring)
            if found == 0 { return nil }
            if found == hash, let entry = unsafe slot.pointee.entry.load(ordering: .acquiring) {
                let entry = unsafe UnsafePointer(entry.assumingMemoryBound(to: Entry.self))
                if unsafe entry.pointee.key == key { return unsafe (slot, entry) }
            }
            index = (index &+ 1) & mask
        }
    }

    @inlinable
    func pairs(in shard: MapShardRef) -> [(Key, Value)] {
        var pairs: [(Key, Value)] = []
        let section = ReadSection.enter()
        defer {
            section.leave()
            withExtendedLifetime(self) {}
        }
        guard let table = shard.table else { return [] }
        pairs.reserveCapacity(Int(shard.shard.count.load(ordering: .relaxed)))
        for index in 0...table.mask {
            guard let entry = unsafe table.slot(index).pointee.entry.load(ordering: .acquiring) else { continue }
            let each = unsafe entry.assumingMemoryBound(to: Entry.self)
            unsafe pairs.append((each.pointee.key, each.pointee.value))
        }
        // A key that was removed and stored again meanwhile is in the slot where it was, unless another one with its hash has taken that.
        if unsafe table.hasTwins.pointee.load(ordering: .acquiring) {
            var seen = Set<Key>()
            pairs.removeAll { !seen.insert($0.0).inserted }
        }
        return pairs
    }

    /// Never 0, which is for a slot without one.
    @inlinable @inline(__always)
    func hash(_ key: Key) -> UInt {
        let hash = quickHash(key) ?? UInt(bitPattern: key.hashValue)
        return hash == 0 ? 1 : hash
    }

    /// For integers: Swift's own hash would take a third of a read's time. Multiplies in 128 bits, with numbers that are others in every process.
    @inlinable @inline(__always)
    func quickHash(_ key: Key) -> UInt? {
        let bits: UInt64
        if Key.self == Int.self || Key.self == UInt.self || Key.self == Int64.self || Key.self == UInt64.self {
            // SAFETY: it is one of these types.
            bits = unsafe unsafeBitCast(key, to: UInt64.self)
        } else if Key.self == Int32.self || Key.self == UInt32.self {
            bits = UInt64(unsafe unsafeBitCast(key, to: UInt32.self))
        } else {
            return nil
        }
        let product = (bits ^ seeds.0).multipliedFullWidth(by: seeds.1)
        return UInt(product.high ^ product.low)
    }

    @inlinable @inline(__always)
    func shard(of hash: UInt) -> MapShardRef { shard(Int(bitPattern: hash &>> shift)) }

    @inlinable @inline(__always)
    func shard(_ index: Int) -> MapShardRef {
        unsafe MapShardRef((shards + index &* Self.stride).assumingMemoryBound(to: MapShard.self))
    }

    // MARK: Freeing

    /// Lets go of a shard's mutex, and frees what it can.
    @inlinable @inline(__always)
    func unlock(_ shard: MapShardRef) {
        if shard.hasRetired { return unlockSlow(shard) }
        shard.mutex.unlock()
    }

    @inlinable @inline(never)
    func unlockSlow(_ shard: MapShardRef, isLate: Bool = false) {
        let (entries, areOthersLeft) = unsafe shard.unlockAndTakeFree(isLate: isLate)
        if areOthersLeft { scheduleFreeing() }
        // Without the mutex: it may run any code.
        unsafe free(entries)
    }

    @inlinable
    func free(_ list: UnsafeMutableRawPointer?) {
        if unsafe list == nil { return }
        RaceDetector.ignoreAccesses()
        defer { RaceDetector.heedAccesses() }
        var next = unsafe list
        while let each = unsafe next {
            unsafe next = unsafe each.load(as: UnsafeMutableRawPointer?.self)
            let entry = unsafe each.assumingMemoryBound(to: Entry.self)
            unsafe entry.deinitialize(count: 1)
            unsafe entry.deallocateOne()
        }
    }

    @usableFromInline
    func scheduleFreeing() {
        guard !willFree.load(ordering: .relaxed), !willFree.exchange(true, ordering: .relaxed) else { return }
        _ = Time.Timer(.milliseconds(freeingDelay.load(ordering: .relaxed))) { [weak self] in self?.freeLate() }
    }

    /// In a goroutine of its own: frees what nobody else has come to free. Later and later while readers are in the way.
    private func freeLate() {
        willFree.store(false, ordering: .relaxed)
        var isAnyLeft = false
        for index in 0..<shardCount {
            let shard = shard(index)
            guard shard.mutex.tryLock() else {
                isAnyLeft = true
                continue
            }
            let (entries, areOthersLeft) = unsafe shard.unlockAndTakeFree(isLate: true)
            if areOthersLeft { isAnyLeft = true }
            unsafe free(entries)
        }
        freeingDelay.store(isAnyLeft ? min(1000, 2 * freeingDelay.load(ordering: .relaxed)) : 10, ordering: .relaxed)
        if isAnyLeft { scheduleFreeing() }
    }
}

extension ConcurrentMap where Value: Equatable {
    /// Replaces the value of `key` if it is `expected`; false, and nothing happens, otherwise (Go's `CompareAndSwap`).
    @inlinable
    @discardableResult
    public func compareExchange(_ key: Key, expected: Value, desired: Value) -> Bool {
        change(key) { $0 == expected ? (.store(desired), true) : (.keep, false) }
    }

    /// Removes `key` if its value is `expected` (Go's `CompareAndDelete`).
    @inlinable
    @discardableResult
    public func removeValue(forKey key: Key, ifEqualTo expected: Value) -> Bool {
        change(key) { $0 == expected ? (.remove, true) : (.keep, false) }
    }
}
