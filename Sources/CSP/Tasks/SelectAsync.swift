/// The same in a Swift task, which suspends and holds no thread meanwhile. The bodies run on the caller's actor, and cannot suspend.
///
/// - Throws: What the body throws; `CancellationError` when the task is cancelled before a case is chosen, with nothing sent, taken or acquired.
/// - Complexity: One allocation if it suspends.
@discardableResult
@inlinable
nonisolated(nonsending)
    public func select<C: SelectCase & ~Copyable>(@SelectBuilder _ cases: () -> C) async throws -> C.Output
{
    try await _selectSuspending(cases(), isPrioritized: false)
}

/// The same, but of several cases that can go on it takes the first one: see the form for goroutines.
@discardableResult
@inlinable
nonisolated(nonsending)
    public func select<C: SelectCase & ~Copyable>(
        prioritized: Bool, @SelectBuilder _ cases: () -> C
    ) async throws -> C.Output
{
    try await _selectSuspending(cases(), isPrioritized: prioritized)
}

// Not specialized: with seven cases that ends Swift 6.3's optimizer ("too many/large bit fields allocated in function", in Mem2Reg).
@inlinable
@_semantics("optimize.sil.specialize.generic.never")
nonisolated(nonsending)
    func _selectSuspending<C: SelectCase & ~Copyable>(
        _ cases: consuming C, isPrioritized: Bool
    ) async throws -> C.Output
{
    try Task.checkCancellation()
    let parts = cases._takeApart()
    let plan = parts.plan
    let bodies = parts.bodies
    var slots = _Placed(parts.slots)
    let keepers = parts.keepers
    var index = -1
    if C._Plan.defaultIndex >= 0 {
        index = _mustDefault(plan) ? C._Plan.defaultIndex : _chooseAtOnce(plan, &slots.value, isPrioritized)
        // Never waits either.
        if index < 0 { index = _chooseSlow(plan, &slots.value, isPrioritized: isPrioritized) }
    } else {
        if !isPrioritized || plan.firstLook.ready & 1 != 0 {
            index = _chooseAtOnce(plan, &slots.value, isPrioritized)
        }
        if index < 0 { index = await _chooseSuspending(plan, &slots, isPrioritized: isPrioritized) }
    }
    withExtendedLifetime(keepers) {}
    if index < 0 { throw CancellationError() }
    return try bodies.finish(index, &slots.value)
}

/// As many cases as the array holds, in a Swift task, which suspends. An empty array waits until the task is cancelled.
/// - Parameter prioritized: Whether, of several cases that can go on, the first one in the array is taken.
/// - Throws: `CancellationError` when the task is cancelled before a case is chosen.
@discardableResult
nonisolated(nonsending)
    public func select<Output>(
        prioritized: Bool = false, _ cases: [AnySelectCase<Output>]
    ) async throws(CancellationError) -> Output
{
    if Task.isCancelled { throw CancellationError() }
    if cases.contains(where: { $0.box.isDefault }) { return selectAtOnce(prioritized, cases) }
    let wait = TaskWaitRef(count: cases.count, slotsSize: 0, slotsAlignment: 1)
    // SAFETY: the array keeps the boxes, and the wait has room for as many entries, until the select is over.
    for index in cases.indices { unsafe cases[index].box.describe(into: wait.entries + index) }
    let index = await wait.run(isPrioritized: prioritized, isCancellable: true) { cases[$0].box.attempt() }
    wait.deallocate()
    if index < 0 { throw CancellationError() }
    return cases[index].box.finish()
}

/// With a default there is no wait.
private func selectAtOnce<Output>(_ isPrioritized: Bool, _ cases: [AnySelectCase<Output>]) -> Output {
    select(prioritized: isPrioritized, cases)
}

/// Suspends until one of the cases is completed, and returns its place, or `Selection.cancelled`. There must be no default.
@inlinable
nonisolated(nonsending)
    func _chooseSuspending<Plan: _SelectPlan>(
        _ plan: Plan, _ slots: inout _Placed<Plan.Slots>, isPrioritized: Bool = false, isCancellable: Bool = true
    ) async -> Int
{
    if Plan.count > 64 { _fatalTooManyCases() }
    let wait = TaskWaitRef(
        count: Plan.count, slotsSize: MemoryLayout<_Placed<Plan.Slots>>.size,
        slotsAlignment: MemoryLayout<_Placed<Plan.Slots>>.alignment)
    // SAFETY: the wait has room for the slots and the entries, and lives until the select is over.
    let place = unsafe wait.slots.assumingMemoryBound(to: _Placed<Plan.Slots>.self)
    unsafe place.initialize(to: slots)
    unsafe plan.describe(&place.pointee.value, into: wait.entries)
    let index = await wait.run(isPrioritized: isPrioritized, isCancellable: isCancellable) { index in
        unsafe plan.attempt(index, locked: true, &place.pointee.value)
    }
    // SAFETY: the select is over, so the slots are ours again.
    slots = unsafe place.move()
    wait.deallocate()
    return index
}

extension TaskWaitRef {
    /// Suspends until a case is completed, and returns its place, or `Selection.cancelled`.
    /// - Parameter attempt: Tries to complete a case that is ready, whose lock is held, and lets go of that.
    @inlinable
    nonisolated(nonsending)
        func run(
            isPrioritized: Bool, isCancellable: Bool, _ attempt: (Int) -> Bool
        ) async -> Int
    {
        if isCancellable {
            await withTaskCancellationHandler {
                await suspend(isPrioritized, attempt)
            } onCancel: {
                cancel()
            }
        } else {
            await suspend(isPrioritized, attempt)
        }
        return end()
    }

    @inlinable
    nonisolated(nonsending)
        func suspend(_ isPrioritized: Bool, _ attempt: (Int) -> Bool) async
    {
        // SAFETY: resumed once: see TaskWait.swift.
        unsafe await withUnsafeContinuation { continuation in
            while true {
                let place = unsafe start(continuation, isPrioritized: isPrioritized)
                if place < 0 { return }
                if attempt(place) { return unsafe complete(place, continuation) }
            }
        }
    }
}
