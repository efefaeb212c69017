/// One case of a `select`: `Receive`, `Send`, `After`, `Default`, or several of them. Not for conformances of your own.
///
/// Cases are noncopyable: a `Send` owns its value. A case lives on the selecting stack and works by its own address there.
public protocol SelectCase<Output, Failure>: ~Copyable {
    /// What the body returns.
    associatedtype Output
    /// What the body throws.
    associatedtype Failure: Error
    /// Plain cases in it.
    static var _count: Int { get }
    /// The place of its `Default`, or -1.
    static var _defaultIndex: Int { get }
    /// Looks at the channels without locks.
    func _scan() -> _SelectScan
    /// Tries to complete the plain case `index` now. False when that would have to wait. If `locked`, the caller holds the lock of
    /// the case's channel, which is released in either case.
    mutating func _attempt(_ index: Int, locked: Bool) -> Bool
    /// Describes the plain cases for the case that one has to wait.
    mutating func _describe(into entries: UnsafeMutablePointer<_SelectEntry>)
    /// Runs the body of the plain case `index`, which has completed.
    mutating func _finish(_ index: Int) throws(Failure) -> Output
}

/// What a look at a select's channels has seen.
@frozen
public struct _SelectScan {
    /// A bit for each plain case that might be ready. Sixty-four at the most; a static select has fewer.
    public var ready: UInt64
    /// The sum of the channels' versions. Versions only grow, so that equal sums mean that none has changed.
    public var versions: UInt64

    @inlinable @inline(__always)
    init(ready: UInt64, versions: UInt64) {
        self.ready = ready
        self.versions = versions
    }

    @inlinable @inline(__always)
    init(_ channel: ChannelRef?, _ bit: UInt32) {
        guard let channel else {
            self.init(ready: 0, versions: 0)
            return
        }
        let word = channel.lockWord.peek()
        // A lock that is held may be about to publish readiness: worth a try.
        self.init(ready: word & (bit | LockWord.held) != 0 ? 1 : 0, versions: UInt64(word >> 3))
    }
}

/// A case as the type-free part of select sees it.
@frozen
@safe
public struct _SelectEntry {
    // SAFETY: (whole type) the case stays in its place for as long as the entries that point into it.
    @usableFromInline
    @frozen
    enum Kind { case receive, send, after, byDefault, never }

    @usableFromInline var kind: Kind
    @usableFromInline var channel: ChannelRef?
    @usableFromInline var slot: UnsafeMutableRawPointer?
    /// For `.after`.
    @usableFromInline var nanoseconds: Int64 = 0

    @inlinable @inline(__always)
    init(_ kind: Kind, _ channel: ChannelRef? = nil, _ slot: UnsafeMutableRawPointer? = nil, nanoseconds: Int64 = 0) {
        self.kind = kind
        self.channel = channel
        unsafe self.slot = unsafe slot
        self.nanoseconds = nanoseconds
    }
}

// MARK: select

/// Waits until one of the cases can go on, and runs its body; several that can: chooses one of them, uniformly at random. With a
/// `Default` it never waits. Blocks the calling goroutine or thread.
///
/// ```swift
/// select {
///     Receive(results) { print($0!) }
///     After(.seconds(1)) { print("too late") }
/// }
/// ```
/// - Returns: What the body returns; bodies of different types: nothing.
/// - Throws: What the body throws.
/// - Complexity: O(n log n) for n cases, at most 64 (arrays hold more). No allocation up to some ten cases.
@available(*, noasync)
@discardableResult
@inlinable
public func select<C: SelectCase & ~Copyable>(@SelectBuilder _ cases: () -> C) throws(C.Failure) -> C.Output {
    var cases = cases()
    let index = _choose(&cases)
    return try cases._finish(index)
}

/// The first look takes no lock. It decides when a case is ready, or when there is a default and two looks have seen no channel change:
/// at the moment between them no case was ready.
@inlinable @inline(__always)
func _choose<C: SelectCase & ~Copyable>(_ cases: inout C) -> Int {
    if C._count > 64 { _fatalTooManyCases() }
    var scan = cases._scan()
    while scan.ready != 0 {
        let place = _randomBit(of: scan.ready)
        if cases._attempt(place, locked: false) { return place }
        scan.ready &= ~(1 << UInt64(place))
        if scan.ready == 0, C._defaultIndex >= 0 { scan = cases._scan() }
    }
    if C._defaultIndex >= 0 {
        if C._count <= 2 { return C._defaultIndex }
        let again = cases._scan()
        if again.ready == 0, again.versions == scan.versions { return C._defaultIndex }
    }
    return _chooseSlow(&cases)
}

@inlinable @inline(never)
func _chooseSlow<C: SelectCase & ~Copyable>(_ cases: inout C) -> Int {
    // SAFETY: the cases stay where they are until the select is over.
    unsafe withUnsafeMutablePointer(to: &cases) { cases in
        unsafe withUnsafeTemporaryAllocation(of: _SelectEntry.self, capacity: C._count) { entries in
            unsafe cases.pointee._describe(into: entries.baseAddress!)
            return unsafe _selectBlocking(entries) { unsafe cases.pointee._attempt($0, locked: true) }
        }
    }
}

/// One of the bits that are set, uniformly.
@inlinable @inline(__always)
func _randomBit(of bits: UInt64) -> Int {
    if bits & (bits &- 1) == 0 { return bits.trailingZeroBitCount }
    return _randomBitSlow(of: bits)
}

@usableFromInline @inline(never)
func _randomBitSlow(of bits: UInt64) -> Int {
    var left = bits
    for _ in 0..<randomNumber(below: bits.nonzeroBitCount) { left &= left &- 1 }
    return left.trailingZeroBitCount
}

@usableFromInline @inline(never)
func _fatalTooManyCases() -> Never {
    fatal("panic: select: more than 64 cases in a block; pass an array of AnySelectCase")
}

// MARK: Arrays of cases

/// Any case, for a `select` over an array.
///
/// May be used again and again; but the value of a `Send` can be sent only once, and choosing that case again traps.
public struct AnySelectCase<Output> {
    let box: AnyCaseBox<Output>

    /// Wraps a case whose body does not throw.
    public init<C: SelectCase & ~Copyable>(_ c: consuming C) where C.Output == Output, C.Failure == Never {
        if C._count != 1 { fatal("panic: select: AnySelectCase takes one plain case") }
        box = CaseBox(c)
    }
}

class AnyCaseBox<Output> {
    func describe(into entry: UnsafeMutablePointer<_SelectEntry>) { fatalError("abstract") }
    func attempt() -> Bool { fatalError("abstract") }
    func finish() -> Output { fatalError("abstract") }
}

@safe
private final class CaseBox<C: SelectCase & ~Copyable>: AnyCaseBox<C.Output> where C.Failure == Never {
    // SAFETY: (whole type) the case stays in its place for as long as the entries that point into it.
    // SAFETY: memory of our own, which others write to only while our owner waits in a select.
    private let pointer: UnsafeMutablePointer<C>

    init(_ c: consuming C) {
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: c)
    }

    deinit {
        unsafe pointer.deinitialize(count: 1)
        unsafe pointer.deallocate()
    }

    override func describe(into entry: UnsafeMutablePointer<_SelectEntry>) {
        unsafe pointer.pointee._describe(into: entry)
    }
    override func attempt() -> Bool { unsafe pointer.pointee._attempt(0, locked: true) }
    override func finish() -> C.Output { unsafe pointer.pointee._finish(0) }
}

/// As many cases as the array holds (Go's `reflect.Select`); otherwise as the other `select`. An empty array waits for ever.
@available(*, noasync)
@discardableResult
public func select<Output>(_ cases: [AnySelectCase<Output>]) -> Output {
    // SAFETY: the array keeps the boxes until the select is over.
    let index = unsafe withUnsafeTemporaryAllocation(of: _SelectEntry.self, capacity: cases.count) { entries in
        for index in cases.indices { unsafe cases[index].box.describe(into: entries.baseAddress! + index) }
        return unsafe _selectBlocking(entries) { cases[$0].box.attempt() }
    }
    return cases[index].box.finish()
}
