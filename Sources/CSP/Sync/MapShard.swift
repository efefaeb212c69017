public import Synchronization

/// A part of a `ConcurrentMap`: those keys whose hashes begin alike. Here without their types; the map knows those.
///
/// Readers take no lock, and are inside a `ReadSection` while they look; writers take the shard's mutex. What a writer has put out of
/// use is freed once no reader can be looking at it.
///
/// - `table` leads to slots, and each slot with an entry to that. An entry does not change: to replace a value, the slot gets another entry.
/// - A slot's hash is written once, after its first entry, and stays. So a reader that comes to a slot without a hash has seen all slots that
///   the key can be in. Removing a key leaves a slot with a hash and no entry.
/// - A table is replaced by a larger or cleaner one with the same entries. Readers that are still in the old one see it as it was when it was
///   replaced, which was within their own time, so they have the right answer for that moment.
///
/// While the mutex is held, and no writer is in the middle of a change:
/// - used = slots with a hash ≤ 3/4 of the table's slots, so each search comes to an end
/// - count = slots with an entry
/// - what is retired can be reached from no table that a reader who enters now can find
@usableFromInline
@safe
@frozen
struct MapShard: ~Copyable {
    // SAFETY: (whole type) see above; a map keeps its shards until its end, when nobody reads or writes any more.
    // Must be first: the mutex is used by its address.
    @usableFromInline let mutexCore = MutexCore()
    @usableFromInline let count = Atomic<UInt32>(0)
    // Guarded by the mutex.
    @usableFromInline var used: UInt32 = 0
    @usableFromInline var retiredCount: UInt32 = 0
    /// How many must be retired before somebody tries to free them.
    @usableFromInline var patience: UInt32 = 1
    @usableFromInline var retiredEntries: UnsafeMutableRawPointer?
    @usableFromInline var retiredTables: UnsafeMutableRawPointer?

    // What readers need, not on the writers' cache line.
    @usableFromInline let table = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    @usableFromInline let padding = InlineArray<7, UInt64>(repeating: 0)

    @usableFromInline init() {}

    /// So that neighbours do not share cache lines, either.
    static var stride: Int { 128 }
}

/// A place for an entry.
@usableFromInline
@safe
@frozen
struct MapSlot: ~Copyable {
    // SAFETY: as for MapShard.
    /// 0 until it gets its first entry.
    @usableFromInline let hash: Atomic<UInt>
    @usableFromInline let entry: Atomic<UnsafeMutableRawPointer?>
}

/// A table by reference: a header, then a power of two of slots.
@usableFromInline
@safe
@frozen
struct MapTable {
    // SAFETY: (whole type) used inside a read section, or with the shard's mutex.
    /// For the list of retired tables.
    @usableFromInline var address: UnsafeMutableRawPointer
    @usableFromInline static var headerSize: Int { @inlinable @inline(__always) get { 16 } }

    @inlinable @inline(__always)
    init(at address: UnsafeMutableRawPointer) { unsafe self.address = unsafe address }

    init(slots count: Int) {
        let size = Self.headerSize + count * MemoryLayout<MapSlot>.stride
        unsafe address = .allocate(byteCount: size, alignment: 16)
        unsafe address.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        unsafe address.storeBytes(of: UInt(count - 1), toByteOffset: 8, as: UInt.self)
    }

    @usableFromInline var mask: UInt {
        @inlinable @inline(__always) get { unsafe address.load(fromByteOffset: 8, as: UInt.self) }
    }

    @inlinable @inline(__always)
    func slot(_ index: UInt) -> UnsafeMutablePointer<MapSlot> {
        unsafe (address + Self.headerSize).assumingMemoryBound(to: MapSlot.self) + Int(bitPattern: index)
    }
}

/// A shard by reference.
@usableFromInline
@safe
@frozen
struct MapShardRef {
    // SAFETY: (whole type) as for MapShard.
    @usableFromInline let pointer: UnsafeMutablePointer<MapShard>

    @inlinable @inline(__always)
    init(_ pointer: UnsafeMutablePointer<MapShard>) { unsafe self.pointer = unsafe pointer }

    @usableFromInline var shard: MapShard {
        @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inlinable @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    @usableFromInline var mutex: MutexRef {
        @inlinable @inline(__always) get {
            unsafe MutexRef(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: MutexCore.self))
        }
    }

    @usableFromInline var table: MapTable? {
        @inlinable @inline(__always) get {
            unsafe shard.table.load(ordering: .acquiring).map { unsafe MapTable(at: $0) }
        }
    }

    // MARK: Writing, with the mutex

    /// Puts an entry where there is none of its key.
    @usableFromInline
    func insert(_ entry: UnsafeMutableRawPointer, _ hash: UInt) {
        var table = table
        if let full = table, (Int(shard.used) + 1) * 4 > Int(full.mask + 1) * 3 { table = rebuild(full) }
        if table == nil {
            let first = MapTable(slots: 8)
            table = first
            unsafe shard.table.store(first.address, ordering: .releasing)
        }
        unsafe put(entry, hash, in: table!)
        shard.count.add(1, ordering: .relaxed)
        check()
    }

    private func put(_ entry: UnsafeMutableRawPointer, _ hash: UInt, in table: MapTable) {
        var index = hash & table.mask
        while true {
            let slot = unsafe table.slot(index)
            let found = unsafe slot.pointee.hash.load(ordering: .relaxed)
            if found == 0 {
                // Whoever sees the hash sees the entry.
                unsafe slot.pointee.entry.store(entry, ordering: .relaxed)
                unsafe slot.pointee.hash.store(hash, ordering: .releasing)
                shard.used += 1
                return
            }
            if found == hash, unsafe slot.pointee.entry.load(ordering: .relaxed) == nil {
                return unsafe slot.pointee.entry.store(entry, ordering: .releasing)
            }
            index = (index &+ 1) & table.mask
        }
    }

    /// A table with the same entries, no slots without any, and room for as many again.
    private func rebuild(_ old: MapTable) -> MapTable {
        var capacity = 8
        while capacity < (Int(shard.count.load(ordering: .relaxed)) + 1) * 2 { capacity *= 2 }
        if capacity > 1 << 31 { fatal("panic: ConcurrentMap: more than 2 to the 30th keys in one part") }
        let new = MapTable(slots: capacity)
        shard.used = 0
        for index in 0...old.mask {
            let slot = unsafe old.slot(index)
            guard let entry = unsafe slot.pointee.entry.load(ordering: .relaxed) else { continue }
            unsafe put(entry, slot.pointee.hash.load(ordering: .relaxed), in: new)
        }
        unsafe shard.table.store(new.address, ordering: .releasing)
        retire(old)
        return new
    }

    /// Gives `slot` another entry, or none, and retires the one that it had.
    @usableFromInline
    func replace(in slot: UnsafeMutablePointer<MapSlot>, by entry: UnsafeMutableRawPointer?) {
        let old = unsafe slot.pointee.entry.load(ordering: .relaxed)!
        unsafe slot.pointee.entry.store(entry, ordering: .releasing)
        if unsafe entry == nil { shard.count.subtract(1, ordering: .relaxed) }
        unsafe retire(old)
        check()
    }

    /// Retires all entries and the table.
    @usableFromInline
    func removeAll() {
        guard let table else { return }
        unsafe shard.table.store(nil, ordering: .releasing)
        shard.used = 0
        shard.count.store(0, ordering: .relaxed)
        for index in 0...table.mask {
            guard let entry = unsafe table.slot(index).pointee.entry.load(ordering: .relaxed) else { continue }
            unsafe retire(entry)
        }
        retire(table)
    }

    private func retire(_ entry: UnsafeMutableRawPointer) {
        unsafe entry.storeBytes(of: shard.retiredEntries, as: UnsafeMutableRawPointer?.self)
        unsafe shard.retiredEntries = unsafe entry
        shard.retiredCount += 1
    }

    private func retire(_ table: MapTable) {
        unsafe table.address.storeBytes(of: shard.retiredTables, as: UnsafeMutableRawPointer?.self)
        unsafe shard.retiredTables = unsafe table.address
        shard.retiredCount += 1
    }

    private func check() {
        #if INTERNAL_CHECKS
            let count = shard.count.load(ordering: .relaxed), used = shard.used
            guard let table, Int(used) * 4 <= (Int(table.mask) + 1) * 3, count <= used else {
                fatal("fatal error: map: \(count) entries in \(used) slots")
            }
        #endif
    }

    // MARK: Freeing

    /// Lets go of the mutex. Returns retired entries that nobody can be looking at any more, for the caller to free, and whether others are left.
    ///
    /// To find out whether readers have left takes microseconds. So in a flood of changes it is done for more and more of them together; once
    /// a flood is over, which `isLate` tells, the next one is freed at once again.
    @usableFromInline @inline(never)
    func unlockAndTakeFree(isLate: Bool) -> (entries: UnsafeMutableRawPointer?, areOthersLeft: Bool) {
        guard shard.retiredCount >= (isLate ? 1 : shard.patience) else {
            let areOthersLeft = shard.retiredCount != 0
            mutex.unlock()
            return (nil, areOthersLeft)
        }
        shard.patience = isLate ? 1 : min(1024, shard.patience * 2)
        let entries = unsafe shard.retiredEntries
        var tables = unsafe shard.retiredTables
        unsafe shard.retiredEntries = nil
        unsafe shard.retiredTables = nil
        shard.retiredCount = 0
        mutex.unlock()
        // These are ours alone now.
        guard ReadSection.haveAllLeft() else {
            unsafe retireAgain(entries, tables)
            return (nil, true)
        }
        while let table = unsafe tables {
            unsafe tables = unsafe table.load(as: UnsafeMutableRawPointer?.self)
            unsafe table.deallocate()
        }
        return unsafe (entries, false)
    }

    private func retireAgain(_ entries: UnsafeMutableRawPointer?, _ tables: UnsafeMutableRawPointer?) {
        var entries = unsafe entries, tables = unsafe tables
        mutex.lock(.mutex)
        while let entry = unsafe entries {
            unsafe entries = unsafe entry.load(as: UnsafeMutableRawPointer?.self)
            unsafe retire(entry)
        }
        while let table = unsafe tables {
            unsafe tables = unsafe table.load(as: UnsafeMutableRawPointer?.self)
            unsafe retire(MapTable(at: table))
        }
        shard.patience = max(shard.patience, shard.retiredCount * 2)
        mutex.unlock()
    }
}
