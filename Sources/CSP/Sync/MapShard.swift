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
    // Guarded by the mutex. Must be first.
    @usableFromInline var used: UInt32 = 0
    @usableFromInline let count = Atomic<UInt32>(0)
    // Must be third: the mutex is used by its address.
    @usableFromInline let mutexCore = MutexCore()
    // Guarded by the mutex.
    /// What was put out of use; it goes on to `waiting` when there is enough of it.
    @usableFromInline var retired = RetiredList()
    /// How many must be retired before somebody sees to it.
    @usableFromInline var patience: UInt32 = 1

    // What readers need, not on the writers' cache line.
    @usableFromInline let table = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    // Guarded by the mutex.
    /// Will be free when the grace period with this number is over.
    @usableFromInline var waiting = RetiredList()
    @usableFromInline var waitsFor: UInt64 = 0
    @usableFromInline let padding = InlineArray<3, UInt64>(repeating: 0)

    @usableFromInline init() {}

    /// So that neighbours do not share cache lines, either.
    static var stride: Int { 128 }
}

/// Entries and tables that were put out of use, linked through their first words.
@usableFromInline
@safe
@frozen
struct RetiredList: ~Copyable {
    // SAFETY: (whole type) nobody but the list's owner, and readers, who look at other words, has them.
    @usableFromInline var entries: UnsafeMutableRawPointer?
    @usableFromInline var tables: UnsafeMutableRawPointer?
    @usableFromInline var count: UInt32 = 0

    @usableFromInline init() {}

    mutating func addEntry(_ entry: UnsafeMutableRawPointer) {
        unsafe entry.storeBytes(of: entries, as: UnsafeMutableRawPointer?.self)
        unsafe entries = unsafe entry
        count &+= 1
    }

    mutating func addTable(_ table: UnsafeMutableRawPointer) {
        unsafe table.storeBytes(of: tables, as: UnsafeMutableRawPointer?.self)
        unsafe tables = unsafe table
        count &+= 1
    }

    /// Frees the tables, and returns the entries for whoever knows their type.
    consuming func free() -> UnsafeMutableRawPointer? {
        RaceDetector.ignoreAccesses()
        defer { RaceDetector.heedAccesses() }
        var next = unsafe tables
        while let table = unsafe next {
            unsafe next = unsafe table.load(as: UnsafeMutableRawPointer?.self)
            unsafe table.deallocate()
        }
        return unsafe entries
    }
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
    // A word for the list of the retired, the mask, and whether any two slots have, or have had, keys with one hash.
    @usableFromInline var address: UnsafeMutableRawPointer
    @usableFromInline static var headerSize: Int { @inlinable @inline(__always) get { 32 } }

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

    @usableFromInline var hasTwins: UnsafeMutablePointer<Atomic<Bool>> {
        @inlinable get { unsafe (address + 16).assumingMemoryBound(to: Atomic<Bool>.self) }
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
            unsafe MutexRef((UnsafeMutableRawPointer(pointer) + 8).assumingMemoryBound(to: MutexCore.self))
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
                // Whoever sees the hash sees the entry; `forEach` looks at that alone.
                unsafe slot.pointee.entry.store(entry, ordering: .releasing)
                unsafe slot.pointee.hash.store(hash, ordering: .releasing)
                shard.used += 1
                return
            }
            if found == hash, unsafe slot.pointee.entry.load(ordering: .relaxed) == nil {
                return unsafe slot.pointee.entry.store(entry, ordering: .releasing)
            }
            if found == hash { unsafe table.hasTwins.pointee.store(true, ordering: .releasing) }
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

    private func retire(_ entry: UnsafeMutableRawPointer) { unsafe shard.retired.addEntry(entry) }
    private func retire(_ table: MapTable) { unsafe shard.retired.addTable(table.address) }

    private func check() {
        #if INTERNAL_CHECKS
            let count = shard.count.load(ordering: .relaxed), used = shard.used
            guard let table, Int(used) * 4 <= (Int(table.mask) + 1) * 3, count <= used else {
                fatal("fatal error: map: \(count) entries in \(used) slots")
            }
        #endif
    }

    // MARK: Freeing

    @usableFromInline var hasRetired: Bool {
        @inlinable @inline(__always) get { shard.retired.count | shard.waiting.count != 0 }
    }

    /// Lets go of the mutex. Returns entries that nobody can be looking at any more, for the caller to free, and whether others are left.
    ///
    /// A grace period takes microseconds. So in a flood of changes there is one for more and more of them together; once a flood is over, which
    /// `isLate` tells, the next one is freed at once again.
    @usableFromInline @inline(never)
    func unlockAndTakeFree(isLate: Bool) -> (entries: UnsafeMutableRawPointer?, areOthersLeft: Bool) {
        guard hasRetired, isLate || shard.retired.count >= shard.patience else {
            defer { mutex.unlock() }
            return (nil, hasRetired)
        }
        if shard.waiting.count == 0 {
            swap(&shard.waiting, &shard.retired)
            shard.waitsFor = GracePeriods.next
        }
        let number = shard.waitsFor
        mutex.unlock()
        let isOver = GracePeriods.advance(to: number)
        mutex.lock(.mutex)
        defer { mutex.unlock() }
        // Somebody else may have come by.
        guard shard.waiting.count != 0, GracePeriods.isOver(shard.waitsFor) else {
            if !isOver { shard.patience = min(shard.patience, .max / 2) * 2 }
            return (nil, hasRetired)
        }
        shard.patience = isLate ? 1 : min(1024, shard.patience &* 2)
        var free = RetiredList()
        swap(&free, &shard.waiting)
        return unsafe (free.free(), hasRetired)
    }

    // At the end of the map.
    func takeRetired() -> UnsafeMutableRawPointer? {
        var list = RetiredList()
        swap(&list, &shard.retired)
        return unsafe list.free()
    }
    func takeWaiting() -> UnsafeMutableRawPointer? {
        var list = RetiredList()
        swap(&list, &shard.waiting)
        return unsafe list.free()
    }
}
