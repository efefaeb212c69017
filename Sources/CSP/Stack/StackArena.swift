import CCSP
import Synchronization

/// The address space of all goroutine stacks: one reserved range, cut into equal regions, one for each power of two from
/// 32 KiB to 1 GiB; region k is cut into slots of that size. Memory is committed by touching it.
///
/// A slot is either in somebody's cache, in its class's free list, above the class's high-water mark (never used), or bound to a
/// goroutine. Its lowest pages are a guard, installed at first use and kept.
struct StackArena: ~Copyable {
    // SAFETY: (whole type) addresses and slots are of the reserved range and its table, both immortal.
    static let defaultShift = 18
    static let smallestShift = Int(CSP_SMALLEST_STACK_SHIFT)
    static let classes = Int(CSP_STACK_CLASSES)
    static let defaultClass = defaultShift - smallestShift

    private struct Class {
        var used = 0
        var free: [Int32] = []
    }
    private let lock = OwnedLock()
    // Guarded by lock.
    private var perClass = [Class](repeating: Class(), count: StackArena.classes)
    // Written once.
    private let regionShift: Int
    private let allowGuardInstall: Bool

    init(allowGuardInstall: Bool, largestRegionShift: Int) {
        self.allowGuardInstall = allowGuardInstall
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

    func base(_ kind: Int, _ slot: Int32) -> UInt {
        unsafe csp_get_arena().pointee.base + (UInt(kind) << UInt(regionShift)) + UInt(slot)
            << UInt(Self.smallestShift + kind)
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
        let first = perClass[kind].used
        let new = taken > 0 ? 0 : min(most, (1 << (regionShift - Self.smallestShift - kind)) - first)
        perClass[kind].used += new
        lock.unlock()
        guard taken + new > 0 else {
            fatal(
                "fatal error: out of goroutine stacks of \(1 << (Self.smallestShift + kind)) bytes: \(first) are in use"
            )
        }
        for slot in first..<first + new {
            protect(kind, Int32(slot))
            slots(Int32(slot))
        }
    }

    private func protect(_ kind: Int, _ slot: Int32) {
        var mappingFree = false
        let error = unsafe csp_install_guard(
            UnsafeMutableRawPointer(bitPattern: base(kind, slot)), Int(CSP_GUARD_SIZE), allowGuardInstall, &mappingFree)
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

    /// Returns the colder half.
    mutating func drainHalf(into arena: inout StackArena, kind: Int) {
        let half = count / 2
        unsafe arena.give(kind, UnsafeBufferPointer(start: slots, count: half))
        unsafe slots.update(from: slots + half, count: count - half)
        count -= half
    }
}
