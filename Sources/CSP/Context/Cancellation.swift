import Synchronization

/// Something that is done once and for all: what a context's `done` stands for, or a function that waits for that.
///
/// Who keeps whom. Whoever looks at a context (holds it or its `done`) keeps the channel, the channel keeps this, and this keeps the
/// parent's channel; so a context that anybody can still see finished also is finished. Downwards, the parent's list and the timer keep
/// this, and never the channel. So once nobody looks any more the channel goes, and `abandon` takes this off the list and the timer
/// off its heap: what is dropped leaks nothing, cancelled or not. A cancel function keeps only this: to be able to cancel is not to look.
///
/// Locks: that of the channel is taken under ours, and no other: timers, other contexts, goroutines and values are touched under none.
@safe
final class Cancellation: @unchecked Sendable {
    // SAFETY: (whole type) the lock is the first property, alive with the object; `channel` is read under the lock, and the channel's deinit
    // waits for that lock before the channel goes.
    // Must be first: the lock is used by its address.
    private let lockWord = Atomic<UInt32>(0)
    private let state = Atomic<UInt8>(State.active)

    // Guarded by the lock.
    /// Closed when it is done. Nil for a function, and when nobody has it any more.
    private var channel: ChannelRef?
    /// Keeps the parent for as long as it may have to finish us.
    private var parent: Channel<Never>?
    private var children = CancellationList()
    private var timer: FunctionTimer?
    private var function: (() -> Void)?
    // Written under the lock before `state` is, which publishes it.
    private var storedCause: (any Error)?
    // Written before anybody else has it.
    var signals: SignalRegistration?

    // Guarded by the parent's lock; when it is off the parent's list, by whoever took it off.
    fileprivate var next: Unmanaged<Cancellation>?
    fileprivate var previous: Unmanaged<Cancellation>?
    fileprivate var isListed = false

    /// What `state` holds.
    private enum State {
        static var active: UInt8 { 0 }
        static var canceled: UInt8 { 1 }
        static var deadlineExceeded: UInt8 { 2 }
        /// Nobody looks, or the function was stopped.
        static var abandoned: UInt8 { 3 }
    }

    private init(parent: Channel<Never>?, function: (() -> Void)?) {
        self.parent = parent
        self.function = function
    }

    private var lock: LockWord { LockWord(firstPropertyOf: self) }

    // MARK: Making

    /// A channel that is closed when `cancel` is called, or when `parent` is.
    static func channel(below parent: Channel<Never>?) -> (channel: Channel<Never>, cancellation: Cancellation) {
        let cancellation = Cancellation(parent: parent, function: nil)
        let channel = Channel<Never>()
        cancellation.channel = channel.core
        unsafe channel.core.core.cancellation = .passRetained(cancellation)
        parent?.cancellation.add(cancellation)
        return (channel, cancellation)
    }

    /// Runs `function` in a goroutine when `parent` is done; at once if it is.
    static func function(below parent: Channel<Never>?, _ function: sending @escaping () -> Void) -> Cancellation {
        let cancellation = Cancellation(parent: parent, function: function)
        parent?.cancellation.add(cancellation)
        return cancellation
    }

    /// Cancels at `deadline` with `cause`. The timer is off as soon as this is done or abandoned.
    func cancel(atNanoseconds deadline: Int64, _ cause: (any Error)?) {
        let timer = FunctionTimer(deadline) { self.cancel(.deadlineExceeded, cause) }
        lock.lock()
        let isActive = state.load(ordering: .relaxed) == State.active
        if isActive { self.timer = timer }
        lock.unlock()
        if !isActive { _ = timer.set(to: nil) }
    }

    private func add(_ child: Cancellation) {
        lock.lock()
        if state.load(ordering: .relaxed) == State.active {
            children.append(child)
            return lock.unlock()
        }
        lock.unlock()
        child.cancel(error!, cause)
    }

    private func remove(_ child: Cancellation) {
        lock.lock()
        let wasListed = child.isListed
        if wasListed { children.remove(child) }
        lock.unlock()
        if wasListed { unsafe Unmanaged.passUnretained(child).release() }
    }

    // MARK: Looking

    /// Not nil implies that the channel is closed: the state changes under the channel's lock, so who has seen it finds that lock held or the
    /// channel closed.
    var error: ContextError? {
        switch state.load(ordering: .acquiring) {
        case State.active: nil
        case State.deadlineExceeded: .deadlineExceeded
        default: .canceled
        }
    }

    var cause: (any Error)? { error == nil ? nil : storedCause }

    // MARK: Ending

    /// Finishes this and all below, the first time. Returns when all of them are done, but for those that somebody else is just finishing.
    /// - Complexity: O(n) for n below.
    func cancel(_ error: ContextError, _ cause: (any Error)?) {
        let cause = cause ?? error
        var below = CancellationList()
        guard finish(error, cause, &below, isListed: true) else { return }
        // A loop, since a tree may be deeper than a stack.
        while let child = below.takeFirst() { child.finish(error, cause, &below, isListed: false) }
    }

    /// False if it was done. Moves the children to `below`.
    @discardableResult
    private func finish(
        _ error: ContextError, _ cause: any Error, _ below: inout CancellationList, isListed: Bool
    ) -> Bool {
        lock.lock()
        guard state.load(ordering: .relaxed) == State.active else {
            lock.unlock()
            return false
        }
        storedCause = cause
        channel?.lock()
        state.store(error == .canceled ? State.canceled : State.deadlineExceeded, ordering: .releasing)
        var waiters = ReadyChain()
        channel?.closeLocked(waking: &waiters)
        below.take(&children)
        let timer = timer.take(), function = function.take(), parent = parent.take()
        lock.unlock()
        waiters.ready()
        if isListed { parent?.cancellation.remove(self) }
        if let timer { _ = timer.set(to: nil) }
        if let function {
            unsafe GoroutineRef.spawn(
                nil, stackSize: nil, creatorAddress: nil, GoroutineBody(run: function, group: nil))
        }
        return true
    }

    /// Nobody looks at it any more, or the function is not wanted. False if it was done.
    @discardableResult
    func abandon() -> Bool {
        var (wasActive, parent) = leave()
        // What only we have kept goes with us: in a loop, since each one would otherwise go within the end of the one below.
        while parent != nil, isKnownUniquelyReferenced(&parent) { parent = parent!.cancellation.leave().parent }
        return wasActive
    }

    private func leave() -> (wasActive: Bool, parent: Channel<Never>?) {
        lock.lock()
        channel = nil
        let wasActive = state.load(ordering: .relaxed) == State.active
        if wasActive { state.store(State.abandoned, ordering: .releasing) }
        let timer = timer.take(), function = function.take(), parent = parent.take()
        lock.unlock()
        parent?.cancellation.remove(self)
        if let timer { _ = timer.set(to: nil) }
        signals?.end()
        // Whatever it has captured goes outside the lock.
        withExtendedLifetime(function) {}
        return (wasActive, parent)
    }
}

extension Channel<Never> {
    /// Of a context's channel.
    fileprivate var cancellation: Cancellation {
        // SAFETY: a context's channel keeps its cancellation until its own deinit.
        unsafe core.core.cancellation!.takeUnretainedValue()
    }
}

/// Those that are finished with their parent, linked through themselves. Owns a reference to each. Guarded by the parent's lock.
@safe
private struct CancellationList: ~Copyable {
    // SAFETY: (whole type) the list owns a reference to each of its members.
    private var first: Unmanaged<Cancellation>?
    private var last: Unmanaged<Cancellation>?

    mutating func append(_ child: Cancellation) {
        let reference = unsafe Unmanaged.passRetained(child)
        unsafe child.previous = unsafe last
        unsafe child.next = nil
        child.isListed = true
        if let last = unsafe last {
            unsafe last._withUnsafeGuaranteedRef { unsafe $0.next = reference }
        } else {
            unsafe first = unsafe reference
        }
        unsafe last = unsafe reference
    }

    /// The list's reference is the caller's then.
    mutating func remove(_ child: Cancellation) {
        if let previous = unsafe child.previous {
            unsafe previous._withUnsafeGuaranteedRef { unsafe $0.next = child.next }
        } else {
            unsafe first = unsafe child.next
        }
        if let next = unsafe child.next {
            unsafe next._withUnsafeGuaranteedRef { unsafe $0.previous = child.previous }
        } else {
            unsafe last = unsafe child.previous
        }
        child.isListed = false
    }

    /// Puts all of `others` at the end, and marks them as off their parent's list: it leaves them to us.
    mutating func take(_ others: inout CancellationList) {
        guard let head = unsafe others.first else { return }
        var each: Unmanaged<Cancellation>? = unsafe head
        while let child = unsafe each?.takeUnretainedValue() {
            child.isListed = false
            unsafe each = unsafe child.next
        }
        if let last = unsafe last {
            unsafe last._withUnsafeGuaranteedRef { unsafe $0.next = head }
        } else {
            unsafe first = unsafe head
        }
        unsafe last = unsafe others.last
        unsafe others.first = nil
        unsafe others.last = nil
    }

    /// Of a list of one's own, from `take`: only the links forwards are right there.
    mutating func takeFirst() -> Cancellation? {
        guard let child = unsafe first?.takeRetainedValue() else { return nil }
        unsafe first = unsafe child.next
        if unsafe first == nil { unsafe last = nil }
        unsafe child.next = nil
        return child
    }
}
