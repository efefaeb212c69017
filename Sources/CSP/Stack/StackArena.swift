import CCSP
import Synchronization

/// The address space of all goroutine stacks: one reserved range, cut into equal regions, one for each power of two from
/// 32 KiB to 1 GiB; region k is cut into slots of that size. Memory is committed by touching it.
///
/// A slot is either in somebody's cache, in its class's free list, above the class's high-water mark (never used), or bound to a
/// goroutine. Its lowest pages are a guard, installed at first use and kept.
struct StackArena: ~Copyable {
    // SAFETY: (whole type) addresses and slots are of the reserved range and its table, both immortal.
    static let usualSize = 256 << 10
    static let smallestShift = Int(CSP_SMALLEST_STACK_SHIFT)
    static let classes = Int(CSP_STACK_CLASSES)
    static var defaultClass: Int {
        @inline(__always) get { unsafe Int(truncatingIfNeeded: csp_get_arena().pointee.default_class) }
    }

    private struct Class {
        var used = 0
        /// Free slots with what their goroutines have left in memory, the longest free first, and those without.
        var free: [Int32] = []
        var clean: [Int32] = []
        /// The least number of `free` since the last reclaim: so many were not needed.
        var spare = 0
    }
    private let lock = OwnedLock()
    // Guarded by lock.
    private var perClass = [Class](repeating: Class(), count: StackArena.classes)
    /// Whether any `free` may be worth a reclaim; a hint.
    private let anyFree = Atomic<Bool>(false)
    // Written once.
    private let regionShift: Int
    private let allowGuardInstall: Bool

    init(allowGuardInstall: Bool, largestRegionShift: Int, defaultClass: Int) {
        self.allowGuardInstall = allowGuardInstall
        unsafe csp_get_arena().pointee.default_class = UInt32(defaultClass)
        var shift = largestRegionShift
        // Less where address space is limited (ulimit -v, sanitizers). A region must hold one slot of its class.
        while shift >= 30 {
            let size = Self.classes << shift
            if let base = unsafe csp_reserve(size, 1 << 30) {
                unsafe csp_get_arena().pointee.base = UInt(bitPattern: base)
                unsafe csp_get_arena().pointee.region_shift = UInt32(shift)
                for kind in 0..<Self.classes {
                    Self.reserveOwners(kind, slots: 1 << (shift - Self.smallestShift - kind))
                }
                // Last: this makes csp_current_goroutine look.
                unsafe csp_get_arena().pointee.size = UInt(size)
                break
            }
            shift -= 1
        }
        regionShift = shift
        if shift < 30 { fatal("fatal error: cannot reserve address space for goroutine stacks; is ulimit -v set?") }
    }

    private static func reserveOwners(_ kind: Int, slots: Int) {
        guard let table = unsafe csp_immortal_memory(slots * 8) else {
            fatal("fatal error: out of memory for the stack table")
        }
        unsafe withUnsafeMutablePointer(to: &csp_get_arena().pointee.owners) {
            unsafe UnsafeMutableRawPointer($0).storeBytes(
                of: table, toByteOffset: kind * 8, as: UnsafeMutableRawPointer.self)
        }
    }

    @inline(__always)
    func base(_ kind: Int, _ slot: Int32) -> UInt {
        let region = unsafe csp_get_arena().pointee.base &+ UInt(bitPattern: kind) &<< UInt(bitPattern: regionShift)
        return region &+ UInt(truncatingIfNeeded: slot) &<< UInt(bitPattern: Self.smallestShift &+ kind)
    }

    /// The class for `size` bytes, or nil when it is out of range.
    static func kind(for size: Int) -> Int? {
        guard size > 0, size <= 1 << (smallestShift + classes - 1) else { return nil }
        var kind = 0
        while 1 << (smallestShift + kind) < size { kind += 1 }
        return kind
    }

    /// Up to `most` slots, at least one; ends the process with a message when there are none.
    mutating func take(_ kind: Int, _ most: Int, into slots: (Int32) -> Void) {
        lock.lock()
        var taken = 0
        while taken < most, let slot = perClass[kind].free.popLast() {
            slots(slot)
            taken += 1
        }
        perClass[kind].spare = min(perClass[kind].spare, perClass[kind].free.count)
        while taken < most, let slot = perClass[kind].clean.popLast() {
            slots(slot)
            taken += 1
        }
        let first = perClass[kind].used
        let new = taken > 0 ? 0 : min(most, (1 << (regionShift - Self.smallestShift - kind)) - first)
        perClass[kind].used += new
        lock.unlock()
        guard taken + new > 0 else {
            fatal(
                "fatal error: out of goroutine stacks of \(1 << (Self.smallestShift + kind)) bytes: \(first) are in use"
            )
        }
        protect(kind, Int32(first), new)
        for slot in first..<first + new { slots(Int32(slot)) }
    }

    private func protect(_ kind: Int, _ first: Int32, _ count: Int) {
        let error = unsafe csp_install_guards(
            UnsafeMutablePointer(bitPattern: base(kind, first)), 1 << (Self.smallestShift + kind), count,
            Int(CSP_GUARD_SIZE), allowGuardInstall)
        guard error == 0 else {
            fatal(
                "fatal error: cannot protect the stack of another goroutine (errno \(error)); "
                    + "before Linux 6.13 each needs two memory mappings: raise sysctl vm.max_map_count")
        }
    }

    mutating func give(_ kind: Int, _ slots: some Sequence<Int32>) {
        lock.lock()
        perClass[kind].free.append(contentsOf: slots)
        lock.unlock()
        if !anyFree.load(ordering: .relaxed) { anyFree.store(true, ordering: .relaxed) }
    }

    /// Free ones of all sizes, without those in processors' caches.
    var freeCount: Int {
        lock.lock()
        defer { lock.unlock() }
        return perClass.reduce(0) { $0 + $1.free.count + $1.clean.count }
    }

    // MARK: Memory that nobody needs

    /// Whether `reclaim` may find anything; a hint.
    var mayReclaim: Bool { anyFree.load(ordering: .relaxed) }

    /// Returns the memory of stacks that were free all the time since the last time; of some hundred at the most, false when there are more.
    mutating func reclaim() -> Bool {
        var left = Self.mostAtOnce
        var remaining = 0
        for kind in 0..<Self.classes {
            lock.lock()
            let count = min(left, perClass[kind].spare)
            let slots = Array(perClass[kind].free.prefix(count))
            perClass[kind].free.removeFirst(count)
            perClass[kind].spare -= count
            let isDone = perClass[kind].spare == 0
            lock.unlock()
            for slot in slots { clean(kind, slot) }
            lock.lock()
            perClass[kind].clean.append(contentsOf: slots)
            lock.unlock()
            left -= count
            if !isDone { return false }
        }
        // From here on what is free counts as spare, until somebody takes it.
        lock.lock()
        for kind in 0..<Self.classes {
            perClass[kind].spare = perClass[kind].free.count
            remaining += perClass[kind].spare
        }
        anyFree.store(remaining > 0, ordering: .relaxed)
        lock.unlock()
        return true
    }

    private static var mostAtOnce: Int { 256 }

    private func clean(_ kind: Int, _ slot: Int32) {
        // SAFETY: the slot is ours alone. A kernel that refuses keeps the memory, which harms nobody.
        unsafe csp_discard(memory(kind, slot).baseAddress, memory(kind, slot).count)
    }

    /// Before another goroutine has the stack, which has nothing to do with the one before.
    func place(_ fiber: OpaquePointer?, _ kind: Int, _ slot: Int32) {
        let memory = unsafe memory(kind, slot)
        unsafe csp_race_forget(memory.baseAddress, memory.count)
        unsafe csp_fiber_place(fiber, memory.baseAddress, memory.count)
    }

    /// A slot without its guard.
    private func memory(_ kind: Int, _ slot: Int32) -> UnsafeMutableRawBufferPointer {
        let guardSize = Int(CSP_GUARD_SIZE)
        return unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: base(kind, slot))! + guardSize,
            count: (1 << (Self.smallestShift + kind)) - guardSize)
    }
}

extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// For the monitor. False when there is more to do.
    func reclaimStacks() -> Bool {
        // What idle processors have kept, too.
        cell.idleLock.lock()
        for index in 0..<cell.processorCount.load(ordering: .relaxed) where !processor(index).cell.hasWorker {
            processor(index).cell.stacks.drain(into: &cell.stacks, kind: StackArena.defaultClass)
        }
        cell.idleLock.unlock()
        return cell.stacks.reclaim()
    }
}

/// A processor's own free stacks of the default size, last in, first out: a thousand short goroutines run on one hot stack.
@safe
struct StackCache: ~Copyable {
    // SAFETY: (whole type) addresses and slots are of the reserved range and its table, both immortal.
    private static let capacity = 64
    private let slots: UnsafeMutablePointer<Int32>
    private var count = 0

    init() { unsafe slots = .allocate(capacity: Self.capacity) }

    // SAFETY: count stays within 0...capacity.
    @inline(__always)
    mutating func take() -> Int32? {
        guard count > 0 else { return nil }
        count -= 1
        return unsafe slots[count]
    }

    @inline(__always)
    mutating func give(_ slot: Int32) -> Bool {
        guard count < Self.capacity else { return false }
        unsafe slots[count] = slot
        count += 1
        return true
    }

    /// The slot that will be taken next.
    @inline(__always)
    var first: Int32? { count > 0 ? unsafe slots[count - 1] : nil }

    mutating func drain(into arena: inout StackArena, kind: Int) {
        if count > 0 { unsafe arena.give(kind, UnsafeBufferPointer(start: slots, count: count)) }
        count = 0
    }

    /// Returns the colder half.
    mutating func drainHalf(into arena: inout StackArena, kind: Int) {
        let half = count / 2
        unsafe arena.give(kind, UnsafeBufferPointer(start: slots, count: half))
        unsafe slots.update(from: slots + half, count: count - half)
        count -= half
    }
}
