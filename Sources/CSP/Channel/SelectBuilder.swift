/// Two cases, or more in each. What the result builder makes of a block.
@frozen
public struct CasePair<First: SelectCase & ~Copyable, Second: SelectCase & ~Copyable, Output, Failure: Error>:
    ~Copyable,
    SelectCase
{
    @usableFromInline var first: First
    @usableFromInline var second: Second

    @inlinable @inline(__always)
    init(_ first: consuming First, _ second: consuming Second) {
        self.first = first
        self.second = second
    }

    /// See `SelectCase`.
    @inlinable @inline(__always) public static var _count: Int { First._count + Second._count }
    /// See `SelectCase`.
    @inlinable @inline(__always)
    public static var _defaultIndex: Int {
        if First._defaultIndex >= 0 { return First._defaultIndex }
        return Second._defaultIndex >= 0 ? First._count + Second._defaultIndex : -1
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public func _scan() -> _SelectScan {
        let a = first._scan(), b = second._scan()
        return _SelectScan(ready: a.ready | b.ready << UInt64(First._count), versions: a.versions &+ b.versions)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _attempt(_ index: Int, locked: Bool) -> Bool {
        index < First._count
            ? first._attempt(index, locked: locked) : second._attempt(index - First._count, locked: locked)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>) {
        // SAFETY: the caller has room for _count entries.
        unsafe first._describe(into: entries)
        unsafe second._describe(into: entries + First._count)
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public mutating func _finish(_ index: Int) throws(Failure) -> Output {
        if index < First._count { return try Self.convert { () throws(First.Failure) in try first._finish(index) } }
        return try Self.convert { () throws(Second.Failure) in try second._finish(index - First._count) }
    }

    /// The builder only makes pairs for which these casts hold: the output is the parts' or Void, the failure the parts' or any
    /// Error. They cost nothing once the types are known.
    @inlinable @inline(__always)
    static func convert<PartOutput, PartFailure: Error>(
        _ body: () throws(PartFailure) -> PartOutput
    ) throws(Failure) -> Output {
        do throws(PartFailure) {
            let output = try body()
            // SAFETY: the same type.
            if PartOutput.self == Output.self { return unsafe unsafeBitCast(output, to: Output.self) }
            return () as! Output
        } catch {
            throw error as! Failure
        }
    }
}

/// Puts the cases of a `select` block together.
@resultBuilder
public enum SelectBuilder {
    /// The first case.
    @inlinable @inline(__always)
    public static func buildPartialBlock<C: SelectCase & ~Copyable>(first: consuming C) -> C { first }

    /// One more with the same output and failure.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, A.Output, A.Failure> where A.Output == B.Output, A.Failure == B.Failure {
        CasePair(accumulated, next)
    }

    /// One more with the same output that throws something else.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, A.Output, any Error> where A.Output == B.Output {
        CasePair(accumulated, next)
    }

    /// A case that never returns stands beside any: `After(.seconds(30)) { fatalError() }`.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, A.Output, A.Failure> where B.Output == Never, A.Failure == B.Failure {
        CasePair(accumulated, next)
    }

    /// Cases none of which returns.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, Never, A.Failure> where A.Output == Never, B.Output == Never, A.Failure == B.Failure {
        CasePair(accumulated, next)
    }

    /// A case that only throws stands beside any.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, A.Output, any Error> where B.Output == Never {
        CasePair(accumulated, next)
    }

    /// Bodies of different types, as `{ set.insert($0!) }` beside `{ _ in }`: the outputs are dropped.
    @_disfavoredOverload
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, Void, A.Failure> where A.Failure == B.Failure {
        CasePair(accumulated, next)
    }
}
