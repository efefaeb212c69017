public import Synchronization

/// An atomic integer that closures can capture (`Synchronization.Atomic` cannot be copied). All operations are sequentially consistent, as Go's.
///
/// Integers of up to 64 bits are lock-free; wider ones take a lock.
@safe
public final class SharedAtomic<Value: FixedWidthInteger & Sendable>: @unchecked Sendable {
    // SAFETY: (whole type) memory of our own: one atomic of the value's width, or a lock and the value.
    @usableFromInline let memory: UnsafeMutableRawPointer
    private static var wideOffset: Int { 16 }

    /// - Parameter value: The first value.
    public init(_ value: Value) {
        unsafe memory = .allocate(byteCount: Self.wideOffset + MemoryLayout<Value>.size, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.wideOffset)
        unsafe (memory + Self.wideOffset).initializeMemory(as: Value.self, to: value)
        store(value)
    }

    deinit { unsafe memory.deallocate() }

    /// The value now.
    @inlinable
    public func load() -> Value {
        exploreBefore(.load, self)
        return switch MemoryLayout<Value>.size {
        case 1: unsafe Value(truncatingIfNeeded: cell(UInt8.self).pointee.load(ordering: .sequentiallyConsistent))
        case 2: unsafe Value(truncatingIfNeeded: cell(UInt16.self).pointee.load(ordering: .sequentiallyConsistent))
        case 4: unsafe Value(truncatingIfNeeded: cell(UInt32.self).pointee.load(ordering: .sequentiallyConsistent))
        case 8: unsafe Value(truncatingIfNeeded: cell(UInt64.self).pointee.load(ordering: .sequentiallyConsistent))
        default: withWideValue { $0 }
        }
    }

    /// Replaces the value.
    @inlinable
    public func store(_ value: Value) {
        exploreBefore(.store, self)
        switch MemoryLayout<Value>.size {
        case 1:
            unsafe cell(UInt8.self).pointee.store(UInt8(truncatingIfNeeded: value), ordering: .sequentiallyConsistent)
        case 2:
            unsafe cell(UInt16.self).pointee.store(UInt16(truncatingIfNeeded: value), ordering: .sequentiallyConsistent)
        case 4:
            unsafe cell(UInt32.self).pointee.store(UInt32(truncatingIfNeeded: value), ordering: .sequentiallyConsistent)
        case 8:
            unsafe cell(UInt64.self).pointee.store(UInt64(truncatingIfNeeded: value), ordering: .sequentiallyConsistent)
        default: withWideValue { $0 = value }
        }
    }

    /// Adds `delta`, wrapping around, and returns the new value, as Go's `atomic.Add`.
    @discardableResult
    @inlinable
    public func add(_ delta: Value) -> Value {
        exploreBefore(.update, self)
        switch MemoryLayout<Value>.size {
        case 1:
            return unsafe Value(
                truncatingIfNeeded: cell(UInt8.self).pointee.wrappingAdd(
                    UInt8(truncatingIfNeeded: delta), ordering: .sequentiallyConsistent
                ).newValue)
        case 2:
            return unsafe Value(
                truncatingIfNeeded: cell(UInt16.self).pointee.wrappingAdd(
                    UInt16(truncatingIfNeeded: delta), ordering: .sequentiallyConsistent
                ).newValue)
        case 4:
            return unsafe Value(
                truncatingIfNeeded: cell(UInt32.self).pointee.wrappingAdd(
                    UInt32(truncatingIfNeeded: delta), ordering: .sequentiallyConsistent
                ).newValue)
        case 8:
            return unsafe Value(
                truncatingIfNeeded: cell(UInt64.self).pointee.wrappingAdd(
                    UInt64(truncatingIfNeeded: delta), ordering: .sequentiallyConsistent
                ).newValue)
        default:
            return withWideValue {
                $0 &+= delta
                return $0
            }
        }
    }

    /// Replaces `expected` by `desired`; false, and nothing happens, when the value is another.
    @inlinable
    public func compareExchange(expected: Value, desired: Value) -> Bool {
        exploreBefore(.update, self)
        return switch MemoryLayout<Value>.size {
        case 1:
            unsafe cell(UInt8.self).pointee.compareExchange(
                expected: UInt8(truncatingIfNeeded: expected), desired: UInt8(truncatingIfNeeded: desired),
                ordering: .sequentiallyConsistent
            ).exchanged
        case 2:
            unsafe cell(UInt16.self).pointee.compareExchange(
                expected: UInt16(truncatingIfNeeded: expected), desired: UInt16(truncatingIfNeeded: desired),
                ordering: .sequentiallyConsistent
            ).exchanged
        case 4:
            unsafe cell(UInt32.self).pointee.compareExchange(
                expected: UInt32(truncatingIfNeeded: expected), desired: UInt32(truncatingIfNeeded: desired),
                ordering: .sequentiallyConsistent
            ).exchanged
        case 8:
            unsafe cell(UInt64.self).pointee.compareExchange(
                expected: UInt64(truncatingIfNeeded: expected), desired: UInt64(truncatingIfNeeded: desired),
                ordering: .sequentiallyConsistent
            ).exchanged
        default:
            withWideValue {
                guard $0 == expected else { return false }
                $0 = desired
                return true
            }
        }
    }

    /// Replaces the value and returns the old one.
    @inlinable
    public func exchange(_ value: Value) -> Value {
        var old = load()
        while !compareExchange(expected: old, desired: value) { old = load() }
        return old
    }

    @inlinable @inline(__always)
    func cell<Bits: AtomicRepresentable>(_: Bits.Type) -> UnsafeMutablePointer<Atomic<Bits>> {
        unsafe memory.assumingMemoryBound(to: Atomic<Bits>.self)
    }

    @usableFromInline
    func withWideValue<T>(_ body: (inout Value) -> T) -> T {
        let lock = unsafe LockWord(at: memory)
        lock.lock()
        defer { lock.unlock() }
        return unsafe body(&(memory + Self.wideOffset).assumingMemoryBound(to: Value.self).pointee)
    }
}
