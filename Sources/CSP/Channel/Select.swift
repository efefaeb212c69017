public import CCSP

/// One case of a `select`: `Receive`, `Send`, `After`, `Default`, or several of them. Not for conformances of your own.
///
/// Cases are noncopyable: a `Send` owns its value.
public protocol SelectCase<Output, Failure>: ~Copyable {
    /// What the body returns.
    associatedtype Output
    /// What the body throws.
    associatedtype Failure: Error
    /// What it waits for.
    associatedtype _Plan: _SelectPlan
    /// What is done then.
    associatedtype _Bodies: _SelectBodies<Output, Failure> where _Bodies.Slots == _Plan.Slots
    /// What keeps the channels until then.
    associatedtype _Keepers
    /// Makes four of one. A plan without references goes through registers; the slots, which others write to, stay on the selecting
    /// stack; the bodies go nowhere, so that closures need no contexts; and the keepers are used by nobody, so that the compiler
    /// drops their retains wherever it sees that somebody else keeps the channels.
    consuming func _takeApart() -> _SelectParts<_Plan, _Bodies, _Keepers>
}

/// The channels and times that a select waits for, with no references.
public protocol _SelectPlan: BitwiseCopyable {
    /// Where values are put or taken from.
    associatedtype Slots: ~Copyable
    /// Plain cases in it.
    static var count: Int { get }
    /// The place of its `Default`, or -1.
    static var defaultIndex: Int { get }
    /// What its channels looked like when the case was made: before the channel is retained, so that a select with one channel and a
    /// default need not.
    var firstLook: _SelectScan { get }
    /// Looks at the channels again, without locks.
    func secondLook() -> _SelectScan
    /// Tries to complete the plain case `index` now. False when that would have to wait. If `locked`, the caller holds the lock of
    /// the case's channel, which is released in either case.
    func attempt(_ index: Int, locked: Bool, _ slots: inout Slots) -> Bool
    /// Describes the plain cases for the case that one has to wait.
    func describe(_ slots: inout Slots, into entries: UnsafeMutablePointer<_SelectEntry>)
}

/// The bodies of a select.
public protocol _SelectBodies<Output, Failure> {
    /// What the body returns.
    associatedtype Output
    /// What the body throws.
    associatedtype Failure: Error
    /// Where values are put or taken from.
    associatedtype Slots: ~Copyable
    /// Plain cases in it.
    static var count: Int { get }
    /// Runs the body of the plain case `index`, which has completed.
    func finish(_ index: Int, _ slots: inout Slots) throws(Failure) -> Output
}

/// A case taken apart.
@frozen
public struct _SelectParts<Plan: _SelectPlan, Bodies: _SelectBodies, Keepers>: ~Copyable
where Plan.Slots == Bodies.Slots {
    /// See `_SelectPlan`.
    public let plan: Plan
    /// See `_SelectBodies`.
    public let bodies: Bodies
    /// Keep the channels.
    public let keepers: Keepers
    /// Values to be sent, and places for those to be received.
    public var slots: Plan.Slots

    @inlinable @inline(__always)
    init(_ plan: Plan, _ bodies: Bodies, _ keepers: Keepers, _ slots: consuming Plan.Slots) {
        self.plan = plan
        self.bodies = bodies
        self.keepers = keepers
        self.slots = slots
    }
}

/// A place for slots that may take no room, as those for a `Channel<Never>` do. Such have no address of their own, and ThreadSanitizer would take
/// the accesses of two goroutines for ones to the same variable.
@frozen
public struct _Placed<Slots: ~Copyable>: ~Copyable {
    /// The slots.
    public var value: Slots
    @usableFromInline let place: UInt8

    /// See `_Placed`.
    @inlinable @inline(__always)
    public init(_ value: consuming Slots) {
        self.value = value
        place = 0
    }
}

/// What a look at a select's channels has seen.
@frozen
public struct _SelectScan: BitwiseCopyable {
    // SAFETY: (whole type) the caller keeps the channel.
    /// A bit for each plain case that might be ready. Sixty-four at the most; a static select has fewer.
    public var ready: UInt64
    /// The sum of the channels' versions. Versions only grow, so that equal sums mean that none has changed.
    public var versions: UInt64

    @inlinable @inline(__always)
    init(ready: UInt64, versions: UInt64) {
        self.ready = ready
        self.versions = versions
    }

    /// What a channel's lock word says; no channel is never ready. A lock that is held may be about to publish readiness: worth a try.
    @inlinable @inline(__always)
    init(word: UInt32, readyBit: UInt32) {
        self.init(ready: UInt64((word / readyBit | word & LockWord.held) & 1), versions: UInt64(word >> 3))
    }

    @inlinable @inline(__always)
    static func first(_ channel: ChannelRef?, _ readyBit: UInt32) -> _SelectScan {
        guard let channel else { return _SelectScan(ready: 0, versions: 0) }
        return unsafe _SelectScan(word: csp_first_look(channel.lockWord.address), readyBit: readyBit)
    }

    @inlinable @inline(__always)
    static func second(_ channel: ChannelRef?, _ readyBit: UInt32) -> _SelectScan {
        guard let channel else { return _SelectScan(ready: 0, versions: 0) }
        return unsafe _SelectScan(word: csp_second_look(channel.lockWord.address), readyBit: readyBit)
    }
}

/// A case as the type-free part of select sees it.
@frozen
@safe
public struct _SelectEntry {
    // SAFETY: (whole type) the slots stay in their places for as long as the entries that point to them.
    @usableFromInline
    @frozen
    enum Kind { case receive, send, after, byDefault, never, mutex, semaphore, condition, group, lane }

    @usableFromInline var kind: Kind
    @usableFromInline var channel: ChannelRef?
    /// Or the core of a mutex or a semaphore, a `ConditionArrival`, a `WaitGroup`, or a `PollLane`.
    @usableFromInline var slot: UnsafeMutableRawPointer?
    /// For `.after`; for `.semaphore`, how much of it; for `.lane`, 1 for the turn and 0 for the kernel.
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
@_transparent
public func select<C: SelectCase & ~Copyable>(@SelectBuilder _ cases: () -> C) throws(C.Failure) -> C.Output {
    _exploreSelect()
    let parts = cases()._takeApart()
    let plan = parts.plan
    let bodies = parts.bodies
    var slots = _Placed(parts.slots)
    let keepers = parts.keepers
    if _mustDefault(plan) {
        _ = consume keepers
        return try bodies.finish(C._Plan.defaultIndex, &slots.value)
    }
    var index = _chooseAtOnce(plan, &slots.value)
    if index >= 0 {
        _ = consume keepers
        return try bodies.finish(index, &slots.value)
    }
    index = _chooseSlow(plan, &slots.value, isPrioritized: false)
    _ = consume keepers
    return try bodies.finish(index, &slots.value)
}

/// The same, but of several cases that can go on it takes the first one, in the order in which they stand. That one was ready at a moment when
/// none above it was; mutexes above it, which others may unlock at any time, were taken when they were looked at.
///
/// ```swift
/// select(prioritized: true) {
///     Receive(quit) { _ in isOver = true }
///     Receive(work) { handle($0!) }
/// }
/// ```
/// An `After` is ready when its time is up while the select waits: put first, it does not hold back the others.
/// - Parameter prioritized: Whether the order counts.
@available(*, noasync)
@discardableResult
@_transparent
public func select<C: SelectCase & ~Copyable>(
    prioritized: Bool, @SelectBuilder _ cases: () -> C
) throws(C.Failure) -> C.Output {
    _exploreSelect()
    let parts = cases()._takeApart()
    let plan = parts.plan
    let bodies = parts.bodies
    var slots = _Placed(parts.slots)
    let keepers = parts.keepers
    if _mustDefault(plan) {
        _ = consume keepers
        return try bodies.finish(C._Plan.defaultIndex, &slots.value)
    }
    // The first case needs no look at others; whether another one comes first only all the locks tell.
    var index = !prioritized || plan.firstLook.ready & 1 != 0 ? _chooseAtOnce(plan, &slots.value, prioritized) : -1
    if index < 0 { index = _chooseSlow(plan, &slots.value, isPrioritized: prioritized) }
    _ = consume keepers
    return try bodies.finish(index, &slots.value)
}

/// In a bubble with a guide, others may go first.
@inlinable @inline(__always)
public func _exploreSelect() { exploreBefore(.select) }

/// Completes one of the cases that were ready at first sight, and returns its place; -1 when there was none, or it was gone.
@inlinable @inline(__always)
public func _chooseAtOnce<Plan: _SelectPlan>(
    _ plan: Plan, _ slots: inout Plan.Slots, _ isPrioritized: Bool = false
) -> Int {
    if plan.firstLook.ready == 0 { return -1 }
    let place = isPrioritized ? 0 : _randomBit(of: plan.firstLook.ready)
    return plan.attempt(place, locked: false, &slots) ? place : -1
}

/// Whether no case is ready and there is a default: two looks have seen no channel change, so at the moment between them none was ready.
/// With one channel, one look is a moment.
@inlinable @inline(__always)
public func _mustDefault<Plan: _SelectPlan>(_ plan: Plan) -> Bool {
    if Plan.defaultIndex < 0 || plan.firstLook.ready != 0 { return false }
    if Plan.count <= 2 { return true }
    let again = plan.secondLook()
    return again.ready == 0 && again.versions == plan.firstLook.versions
}

/// Locks everything, and waits if it must.
@inlinable @inline(never)
public func _chooseSlow<Plan: _SelectPlan>(
    _ plan: Plan, _ slots: inout Plan.Slots, isPrioritized: Bool
) -> Int {
    if Plan.count > 64 { _fatalTooManyCases() }
    // SAFETY: the slots stay where they are until the select is over.
    return unsafe withUnsafeTemporaryAllocation(of: _SelectEntry.self, capacity: Plan.count) { entries in
        unsafe plan.describe(&slots, into: entries.baseAddress!)
        while true {
            let outcome = unsafe _selectBlocking(entries, isPrioritized: isPrioritized)
            if outcome.isDone || plan.attempt(outcome.place, locked: true, &slots) { return outcome.place }
        }
    }
}

/// One of the bits that are set, uniformly.
@inlinable @inline(__always)
func _randomBit(of bits: UInt64) -> Int {
    if bits & (bits &- 1) == 0 { return bits.trailingZeroBitCount }
    return _randomBitSlow(of: bits)
}

@usableFromInline @inline(never) @_effects(releasenone)
func _randomBitSlow(of bits: UInt64) -> Int {
    let others = bits & (bits &- 1)
    if others & (others &- 1) == 0 {
        // Two, which is the common case, and no branch that depends on chance.
        let low = bits.trailingZeroBitCount, high = others.trailingZeroBitCount
        return low &+ (high &- low) & (0 &- Int(truncatingIfNeeded: randomBits() >> 63))
    }
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
        if C._Plan.count != 1 { fatal("panic: select: AnySelectCase takes one plain case") }
        box = CaseBox(c._takeApart())
    }
}

class AnyCaseBox<Output> {
    var isDefault: Bool { fatalError("abstract") }
    func describe(into entry: UnsafeMutablePointer<_SelectEntry>) { fatalError("abstract") }
    func attempt() -> Bool { fatalError("abstract") }
    func finish() -> Output { fatalError("abstract") }
}

@safe
private final class CaseBox<Plan: _SelectPlan, Bodies: _SelectBodies, Keepers>: AnyCaseBox<Bodies.Output>
where Bodies.Failure == Never, Bodies.Slots == Plan.Slots {
    // SAFETY: (whole type) memory of our own, which others write to only while our owner waits in a select.
    private let plan: Plan
    private let bodies: Bodies
    private let keepers: Keepers
    private let slots: UnsafeMutablePointer<Plan.Slots>

    init(_ parts: consuming _SelectParts<Plan, Bodies, Keepers>) {
        plan = parts.plan
        bodies = parts.bodies
        keepers = parts.keepers
        unsafe slots = .allocate(capacity: 1)
        unsafe slots.initialize(to: parts.slots)
    }

    deinit {
        unsafe slots.deinitialize(count: 1)
        unsafe slots.deallocate()
    }

    override var isDefault: Bool { Plan.defaultIndex >= 0 }
    override func describe(into entry: UnsafeMutablePointer<_SelectEntry>) {
        unsafe plan.describe(&slots.pointee, into: entry)
    }
    override func attempt() -> Bool { unsafe plan.attempt(0, locked: true, &slots.pointee) }
    override func finish() -> Bodies.Output { unsafe bodies.finish(0, &slots.pointee) }
}

/// As many cases as the array holds (Go's `reflect.Select`); otherwise as the other `select`. An empty array waits for ever.
/// - Parameter prioritized: Whether, of several cases that can go on, the first one in the array is taken.
@available(*, noasync)
@discardableResult
public func select<Output>(prioritized: Bool = false, _ cases: [AnySelectCase<Output>]) -> Output {
    _exploreSelect()
    // SAFETY: the array keeps the boxes until the select is over.
    let index = unsafe withUnsafeTemporaryAllocation(of: _SelectEntry.self, capacity: cases.count) { entries in
        for index in cases.indices { unsafe cases[index].box.describe(into: entries.baseAddress! + index) }
        while true {
            let outcome = unsafe _selectBlocking(entries, isPrioritized: prioritized)
            if outcome.isDone || cases[outcome.place].box.attempt() { return outcome.place }
        }
    }
    return cases[index].box.finish()
}
