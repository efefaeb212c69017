public import Synchronization

/// A dictionary without a lock, for one goroutine at a time, that ends the process when two use it at once and one of them writes: with Go's words,
/// and before memory is corrupted.
///
/// Swift 6 refuses to compile a program that shares a plain dictionary (docs/sync-rules.md shows what it says), so this is for where the compiler
/// cannot look: legacy code, `@unchecked Sendable` types, and programs moved over from Go. To share a map on purpose, use a `ConcurrentMap`, or a `Mutex`
/// around a `Dictionary`.
///
/// Every overlap in time is caught, which Go only promises to try; two uses that happen not to overlap are not, even if nothing orders them. As with
/// any variable, a change and a use within it overlap: `map["a"]?.append(map.count)` looks at the map while it changes.
/// - Complexity: That of a dictionary, and two atomic operations per use.
@safe
public final class CheckedMap<Key: Hashable, Value> {
    // SAFETY: (whole type) memory of our own, used only between `begin…` and `end…`, which exclude each other or end the process.
    @usableFromInline let dictionary: UnsafeMutablePointer<[Key: Value]>
    /// How many read now; or `writing`.
    @usableFromInline let users = Atomic<Int>(0)

    @usableFromInline static var writing: Int { @inlinable get { .min } }

    /// - Parameter dictionary: What is in it first.
    public init(_ dictionary: [Key: Value] = [:]) {
        unsafe self.dictionary = .allocate(capacity: 1)
        unsafe self.dictionary.initialize(to: dictionary)
    }

    deinit {
        unsafe dictionary.deinitialize(count: 1)
        unsafe dictionary.deallocate()
    }

    /// The value of `key`. Setting nil removes it.
    @inlinable
    public subscript(key: Key) -> Value? {
        get { read { $0[key] } }
        _modify {
            beginWrite()
            defer { endWrite() }
            yield unsafe &dictionary.pointee[key]
        }
    }

    /// The value of `key`, or `defaultValue`, which changing it begins with.
    @inlinable
    public subscript(key: Key, default defaultValue: @autoclosure () -> Value) -> Value {
        get { read { $0[key] } ?? defaultValue() }
        _modify {
            // Before: it may look at the map.
            let first = self[key] == nil ? defaultValue() : nil
            beginWrite()
            defer { endWrite() }
            yield unsafe &dictionary.pointee[key, default: first ?? defaultValue()]
        }
    }

    /// Removes `key` and returns its value.
    @inlinable
    @discardableResult
    public func removeValue(forKey key: Key) -> Value? {
        beginWrite()
        defer { endWrite() }
        return unsafe dictionary.pointee.removeValue(forKey: key)
    }

    /// Removes everything.
    @inlinable
    public func removeAll() {
        beginWrite()
        defer { endWrite() }
        unsafe dictionary.pointee.removeAll()
    }

    /// How many keys there are.
    @inlinable
    public var count: Int { read { $0.count } }

    /// Whether there are no keys.
    @inlinable
    public var isEmpty: Bool { count == 0 }

    /// Calls `body` for each key and its value, as they are when the call begins.
    ///
    /// `body` may change the map, as the body of a Go loop may. If another goroutine is writing while one key follows the other, the process ends.
    @inlinable
    public func forEach<E: Error>(_ body: (Key, Value) throws(E) -> Void) throws(E) {
        for (key, value) in read({ $0 }) {
            beginRead("fatal error: concurrent map iteration and map write")
            endRead()
            try body(key, value)
        }
    }

    @inlinable
    func read<T>(_ body: ([Key: Value]) -> T) -> T {
        beginRead("fatal error: concurrent map read and map write")
        defer { endRead() }
        return unsafe body(dictionary.pointee)
    }

    // MARK: Who is at it

    @inlinable @inline(__always)
    func beginRead(_ message: @autoclosure () -> String) {
        if users.wrappingAdd(1, ordering: .acquiring).oldValue < 0 { fatal(message()) }
    }

    @inlinable @inline(__always)
    func endRead() { users.wrappingSubtract(1, ordering: .releasing) }

    @inlinable @inline(__always)
    func beginWrite() {
        let (exchanged, others) = users.compareExchange(expected: 0, desired: Self.writing, ordering: .acquiring)
        if !exchanged {
            fatal(others < 0 ? "fatal error: concurrent map writes" : "fatal error: concurrent map read and map write")
        }
    }

    @inlinable @inline(__always)
    func endWrite() {
        if users.exchange(0, ordering: .releasing) != Self.writing {
            fatal("fatal error: concurrent map read and map write")
        }
    }
}

// SAFETY: see above; whoever shares it gets the right answer or ends.
extension CheckedMap: @unchecked Sendable where Key: Sendable, Value: Sendable {}
