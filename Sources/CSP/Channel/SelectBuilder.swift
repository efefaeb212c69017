/// Two cases, or more in each. What the result builder makes of a block.
@frozen
public struct CasePair<First: SelectCase & ~Copyable, Second: SelectCase & ~Copyable, Output, Failure: Error>:
    ~Copyable,
    SelectCase
{
    @usableFromInline let first: First
    @usableFromInline let second: Second

    @inlinable @inline(__always)
    init(_ first: consuming First, _ second: consuming Second) {
        self.first = first
        self.second = second
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public consuming func _takeApart()
        -> _SelectParts<
            _PairPlan<First._Plan, Second._Plan>, _PairBodies<First._Bodies, Second._Bodies, Output, Failure>,
            (First._Keepers, Second._Keepers)
        >
    {
        let first = first._takeApart(), second = second._takeApart()
        return _SelectParts(
            _PairPlan(first: first.plan, second: second.plan), _PairBodies(first: first.bodies, second: second.bodies),
            (first.keepers, second.keepers), _PairSlots(first: first.slots, second: second.slots))
    }
}

/// See `_SelectPlan`.
@frozen
public struct _PairPlan<First: _SelectPlan, Second: _SelectPlan>: _SelectPlan {
    @usableFromInline let first: First
    @usableFromInline let second: Second

    @inlinable @inline(__always)
    init(first: First, second: Second) {
        self.first = first
        self.second = second
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always) public static var count: Int { First.count + Second.count }
    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public static var defaultIndex: Int {
        if First.defaultIndex >= 0 { return First.defaultIndex }
        return Second.defaultIndex >= 0 ? First.count + Second.defaultIndex : -1
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public var firstLook: _SelectScan { Self.join(first.firstLook, second.firstLook) }
    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func secondLook() -> _SelectScan { Self.join(first.secondLook(), second.secondLook()) }

    @inlinable @inline(__always)
    static func join(_ a: _SelectScan, _ b: _SelectScan) -> _SelectScan {
        _SelectScan(
            ready: a.ready | b.ready &<< UInt64(truncatingIfNeeded: First.count), versions: a.versions &+ b.versions)
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func attempt(_ index: Int, locked: Bool, _ slots: inout _PairSlots<First.Slots, Second.Slots>) -> Bool {
        index < First.count
            ? first.attempt(index, locked: locked, &slots.first)
            : second.attempt(index &- First.count, locked: locked, &slots.second)
    }

    /// See `_SelectPlan`.
    @inlinable @inline(__always)
    public func describe(
        _ slots: inout _PairSlots<First.Slots, Second.Slots>, into entries: UnsafeMutablePointer<_SelectEntry>
    ) {
        // SAFETY: the caller has room for `count` entries.
        unsafe first.describe(&slots.first, into: entries)
        unsafe second.describe(&slots.second, into: entries + First.count)
    }
}

/// See `_SelectBodies`.
@frozen
public struct _PairBodies<First: _SelectBodies, Second: _SelectBodies, Output, Failure: Error>: _SelectBodies {
    @usableFromInline let first: First
    @usableFromInline let second: Second

    @inlinable @inline(__always)
    init(first: First, second: Second) {
        self.first = first
        self.second = second
    }

    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { First.count + Second.count }

    /// See `_SelectBodies`.
    @inlinable @inline(__always)
    public func finish(
        _ index: Int, _ slots: inout _PairSlots<First.Slots, Second.Slots>
    ) throws(Failure) -> Output {
        if index < First.count {
            do throws(First.Failure) {
                return Self.convert(try first.finish(index, &slots.first))
            } catch { throw Self.convert(error) }
        }
        do throws(Second.Failure) {
            return Self.convert(try second.finish(index &- First.count, &slots.second))
        } catch { throw Self.convert(error) }
    }

    /// The builder only makes pairs for which these casts hold: the output is the parts' or Void, the failure the parts' or any
    /// Error. They cost nothing once the types are known.
    @inlinable @inline(__always)
    static func convert<PartOutput>(_ output: PartOutput) -> Output {
        // SAFETY: the same type.
        if PartOutput.self == Output.self { return unsafe unsafeBitCast(output, to: Output.self) }
        return () as! Output
    }

    @inlinable @inline(__always)
    static func convert<PartFailure: Error>(_ error: PartFailure) -> Failure { error as! Failure }
}

/// See `_SelectPlan`.
@frozen
public struct _PairSlots<First: ~Copyable, Second: ~Copyable>: ~Copyable {
    @usableFromInline var first: First
    @usableFromInline var second: Second

    @inlinable @inline(__always)
    init(first: consuming First, second: consuming Second) {
        self.first = first
        self.second = second
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

    /// Any case stands beside those that only throw.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, B.Output, any Error> where A.Output == Never {
        CasePair(accumulated, next)
    }

    /// Cases none of which returns, and which throw different things.
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, Never, any Error> where A.Output == Never, B.Output == Never {
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

    /// The same where they throw different things, as beside a `Canceled`.
    @_disfavoredOverload
    @inlinable @inline(__always)
    public static func buildPartialBlock<A: SelectCase & ~Copyable, B: SelectCase & ~Copyable>(
        accumulated: consuming A, next: consuming B
    ) -> CasePair<A, B, Void, any Error> {
        CasePair(accumulated, next)
    }
}
