/// Ready when `context` is done; the select then throws the context's error. Stands beside cases of any output.
///
/// ```swift
/// return try select {
///     Receive(result) { $0! }
///     Canceled(context)
/// }
/// ```
/// Of several ready cases one is chosen at random, so a select may go on in a context that is done. A context that is never done costs nothing.
@frozen
public struct Canceled: SelectCase {
    @usableFromInline let plan: _ReceivePlan<Never>
    @usableFromInline let context: Context

    /// - Parameter context: Ends the wait.
    @inlinable @inline(__always)
    public init(_ context: Context) {
        plan = _ReceivePlan(coreRef(context.channel))
        self.context = context
    }

    /// See `SelectCase`.
    @inlinable @inline(__always)
    public consuming func _takeApart() -> _SelectParts<_ReceivePlan<Never>, _CanceledBody, Context> {
        _SelectParts(plan, _CanceledBody(context: context), context, nil)
    }
}

/// See `_SelectBodies`.
@frozen
public struct _CanceledBody: _SelectBodies {
    @usableFromInline let context: Context

    @inlinable @inline(__always)
    init(context: Context) { self.context = context }

    /// Nothing.
    public typealias Slots = Never?
    /// See `_SelectBodies`.
    public typealias Output = Never
    /// See `_SelectBodies`.
    public typealias Failure = any Error
    /// See `_SelectBodies`.
    @inlinable @inline(__always) public static var count: Int { 1 }
    /// See `_SelectBodies`.
    @inlinable @inline(__always)
    public func finish(_ index: Int, _ slot: inout Never?) throws -> Never { throw context.error! }
}

// MARK: Waits that a context ends

extension Channel where Element: ~Copyable {
    /// As `send`, but gives up when `context` is done: throws its error, and the value is released. Does not look at the channel when the
    /// context is done already.
    @available(*, noasync)
    public func send(_ value: consuming sending Element, in context: Context) throws(ContextError) {
        try context.check()
        let plan = _PairPlan(first: _SendPlan<Element>(core), second: _ReceivePlan<Never>(coreRef(context.channel)))
        var slots = _Placed(_PairSlots<Element?, Never?>(first: consume value, second: nil))
        let index = choose(plan, &slots.value)
        withExtendedLifetime((self, context)) {}
        if index != 0 { throw context.error! }
    }

    /// As `receive`, but gives up when `context` is done: throws its error. Does not look at the channel when the context is done already.
    @available(*, noasync)
    @discardableResult
    public func receive(in context: Context) throws(ContextError) -> sending Element? {
        try context.check()
        let plan = _PairPlan(first: _ReceivePlan<Element>(core), second: _ReceivePlan<Never>(coreRef(context.channel)))
        var slots = _Placed(_PairSlots<Element?, Never?>(first: nil, second: nil))
        let index = choose(plan, &slots.value)
        withExtendedLifetime((self, context)) {}
        if index != 0 { throw context.error! }
        // SAFETY: it was sent to us.
        return unsafe UnsafeTransfer(slots.value.first.take()).value
    }

    private func choose<Plan: _SelectPlan>(_ plan: Plan, _ slots: inout Plan.Slots) -> Int {
        let index = _chooseAtOnce(plan, &slots)
        return index >= 0 ? index : _chooseSlow(plan, &slots, isPrioritized: false)
    }
}

extension SendChannel where Element: ~Copyable {
    /// As `Channel.send(_:in:)`.
    @available(*, noasync)
    public func send(_ value: consuming sending Element, in context: Context) throws(ContextError) {
        try channel.send(value, in: context)
    }
}

extension ReceiveChannel where Element: ~Copyable {
    /// As `Channel.receive(in:)`.
    @available(*, noasync)
    @discardableResult
    public func receive(in context: Context) throws(ContextError) -> sending Element? {
        try channel.receive(in: context)
    }
}

extension Time {
    /// Waits for at least `duration`, but gives up when `context` is done: throws its error. Blocks the calling goroutine or thread.
    @available(*, noasync)
    public static func sleep(for duration: Duration, in context: Context) throws(ContextError) {
        try context.check()
        if duration <= .zero { return }
        let isOver = select {
            After(duration) { true }
            Receive(context.channel) { _ in false }
        }
        if !isOver { throw context.error! }
    }

    /// Waits until `instant`, but gives up when `context` is done: throws its error. Blocks the calling goroutine or thread.
    @available(*, noasync)
    public static func sleep(until instant: Instant, in context: Context) throws(ContextError) {
        try sleep(for: instant - Time.now, in: context)
    }
}
