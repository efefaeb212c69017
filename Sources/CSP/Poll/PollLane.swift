import CCSP
import Synchronization

/// One direction of a descriptor: who may use it, who waits for that, and who waits for the kernel.
///
/// One at a time has the turn, first come, first served, so that what several write is not mixed. Who has it tries the system call, and waits in
/// `parked` if that would block: at most one.
///
/// While the lock is held:
/// - a waiter is in `turns` ⇒ somebody has the turn
/// - a waiter is in `parked` ⇒ somebody has the turn, and none of `.ready`, `.expired` and `.closed`; but for those of selects already won elsewhere
/// - `.active` ⇒ somebody has the turn, and may be in a system call: the descriptor must not be closed
///
/// No event is missed. `enter` and `resume` clear `.ready` before the system call that would block. What happens in the kernel after that call is told by
/// a later event, and whoever is told of it finds a waiter in `parked` or sets `.ready`, which keeps the one who is about to wait from doing so: both
/// under the lock. An event that comes late, or for nothing, costs one more try.
@safe
struct PollLane: ~Copyable {
    // SAFETY: (whole type) a lane is part of an immortal cell.
    // Guarded by the lock. First: see LockWord.init(at:offset:).
    fileprivate var state = PollLaneState()
    // Must be second.
    fileprivate let lockWord = Atomic<UInt32>(0)
    // Guarded by the lock.
    fileprivate var turns = WaitList()
    fileprivate var parked = WaitList()
    // Guarded by its heap's lock, under which the lane's is taken.
    fileprivate let deadline: UnsafeMutablePointer<TimerNode>

    /// - Parameter deadline: Calls `expire`.
    init(deadline: consuming TimerNode) {
        unsafe self.deadline = .allocate(capacity: 1)
        unsafe self.deadline.initialize(to: deadline)
    }
}

struct PollLaneState: OptionSet {
    let rawValue: UInt32
    /// Somebody has the turn.
    static var taken: PollLaneState { PollLaneState(rawValue: 1) }
    /// He may be in a system call.
    static var active: PollLaneState { PollLaneState(rawValue: 2) }
    /// Something has happened since the last try began.
    static var ready: PollLaneState { PollLaneState(rawValue: 4) }
    /// The last try took all there was, and nothing has happened since: the next one would block.
    static var drained: PollLaneState { PollLaneState(rawValue: 8) }
    /// The other side has ended, or there is an error: what is left to read says nothing about whether a read would block.
    static var hungUp: PollLaneState { PollLaneState(rawValue: 16) }
    /// The deadline has passed.
    static var expired: PollLaneState { PollLaneState(rawValue: 32) }
    static var closed: PollLaneState { PollLaneState(rawValue: 64) }
}

/// What became of an attempt to use a lane.
enum LaneEntry {
    /// The turn is the caller's.
    case entered
    /// The same, but to try would be in vain: it has to wait first.
    case drained
    /// Somebody else has the turn.
    case taken
    case failed(PollFailure)
}

/// Why an operation on a descriptor was not done.
package enum PollFailure: Error, Equatable {
    case closed
    case deadlineExceeded
    case context(ContextError)
    /// The Swift task was cancelled.
    case taskCancelled
    /// A system call failed, with this error number.
    case system(Int32)
}

/// A lane by reference.
@safe
struct PollLaneRef: Equatable, BitwiseCopyable, @unchecked Sendable {
    // SAFETY: (whole type) lanes are parts of immortal cells; waiters stay in their places until they are off the lists.
    let pointer: UnsafeMutablePointer<PollLane>

    init(_ pointer: UnsafeMutablePointer<PollLane>) { unsafe self.pointer = unsafe pointer }

    static func == (a: PollLaneRef, b: PollLaneRef) -> Bool { unsafe a.pointer == b.pointer }

    private var core: PollLane {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    var lock: LockWord { @inline(__always) get { unsafe LockWord(at: pointer, offset: 4) } }

    // MARK: The turn

    /// Takes the turn, if it is free and the lane can be used.
    @inline(__always)
    func enter() -> LaneEntry {
        lock.lock()
        defer { lock.unlock() }
        let state = core.state
        guard state.isDisjoint(with: [.taken, .expired, .closed]) else {
            if state.contains(.closed) { return .failed(.closed) }
            return state.contains(.taken) ? .taken : .failed(.deadlineExceeded)
        }
        core.state = state.subtracting([.ready, .drained]).union([.taken, .active])
        return state.contains(.drained) ? .drained : .entered
    }

    /// Waits for the turn, which is the caller's then, whatever has become of the descriptor: `resume` must follow.
    func waitForTurn() {
        lock.lock()
        if isFree {
            core.state.insert(.taken)
            return lock.unlock()
        }
        unsafe Waiter.withOwn { waiter in
            unsafe core.turns.append(waiter)
            unsafe waiter.pointee.party.block(.ioTurn, .unlock(lock))
        }
    }

    /// With the turn, after a wait: nil if the caller may try the system call. Otherwise the turn is gone.
    /// - Parameter wasLast: As what `leave` returns: it was closed before the caller could begin to wait.
    func resume(_ wasLast: inout Bool) -> PollFailure? {
        lock.lock()
        let state = core.state
        guard state.isDisjoint(with: [.expired, .closed]) else {
            wasLast = state.isSuperset(of: [.active, .closed])
            leaveLocked()
            return state.contains(.closed) ? .closed : .deadlineExceeded
        }
        core.state = state.subtracting([.ready, .drained]).union(.active)
        lock.unlock()
        return nil
    }

    /// Gives the turn to whoever is next. True if the caller was the last to use a descriptor that has been closed meanwhile, in this lane.
    /// - Parameter drained: The last system call took all that there was.
    @inline(__always)
    func leave(drained: Bool = false) -> Bool {
        lock.lock()
        let state = core.state
        let wasActive = state.contains(.active)
        if drained, state.isDisjoint(with: [.ready, .hungUp]) { core.state.insert(.drained) }
        leaveLocked()
        return wasActive && state.contains(.closed)
    }

    /// With the lock, which is released.
    @inline(__always)
    private func leaveLocked() {
        core.state.remove(.active)
        // SAFETY: taken off the list under the lock, so it stays parked until it is made ready.
        guard let heir = unsafe core.turns.takeFirst() else {
            core.state.remove(.taken)
            return lock.unlock()
        }
        unsafe heir.pointee.succeeded = true
        let party = unsafe heir.pointee.party
        lock.unlock()
        party.ready()
    }

    // MARK: The wait for the kernel

    /// With the turn, when a system call would block: what happened meanwhile must be looked at, if true. Otherwise the caller does not use the
    /// descriptor any more, and must wait.
    func mustRetry() -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if mayGoOn { return true }
        core.state.remove(.active)
        return false
    }

    /// The same, and waits.
    func park() {
        lock.lock()
        if mayGoOn { return lock.unlock() }
        core.state.remove(.active)
        unsafe Waiter.withOwn { waiter in
            unsafe core.parked.append(waiter)
            unsafe waiter.pointee.party.block(.ioWait, .unlock(lock))
        }
    }

    /// The kernel says that something has happened.
    func notify(isHangup: Bool) {
        lock.lock()
        core.state.remove(.drained)
        if isHangup { core.state.insert(.hungUp) }
        wakeLocked(or: .ready)
    }

    /// The deadline has passed.
    func expire() {
        lock.lock()
        core.state.insert(.expired)
        wakeLocked(or: [])
    }

    /// With the lock, which is released: lets go on who waits for the kernel; if nobody does, notes it.
    private func wakeLocked(or note: PollLaneState) {
        // SAFETY: taken off the list under the lock, so it stays parked until it is made ready.
        guard let waiter = unsafe core.parked.takeFirst() else {
            core.state.insert(note)
            return lock.unlock()
        }
        unsafe waiter.pointee.succeeded = true
        let party = unsafe waiter.pointee.party
        lock.unlock()
        party.ready()
    }

    // MARK: As something to select: with the lock

    var isFree: Bool { !core.state.contains(.taken) }
    var mayGoOn: Bool { !core.state.isDisjoint(with: [.ready, .expired, .closed]) }

    func append(_ waiter: UnsafeMutablePointer<Waiter>, forTurn: Bool) {
        if forTurn { unsafe core.turns.append(waiter) } else { unsafe core.parked.append(waiter) }
    }

    func remove(_ waiter: UnsafeMutablePointer<Waiter>, forTurn: Bool) {
        if forTurn { unsafe core.turns.remove(waiter) } else { unsafe core.parked.remove(waiter) }
    }

    /// Completes what it waits for, if it need not.
    func attempt(forTurn: Bool) -> Bool {
        guard forTurn else { return mayGoOn }
        guard isFree else { return false }
        core.state.insert(.taken)
        return true
    }

    // MARK: Closing, deadlines, a new life

    /// With the lock: nobody can use it from now on. Returns whether somebody still does, and takes off the list who waits for the kernel.
    func closeLocked(_ woken: inout ReadyChain) -> Bool {
        core.state.insert(.closed)
        // SAFETY: taken off the list under the lock, so it stays parked until it is made ready.
        while let waiter = unsafe core.parked.takeFirst() { unsafe woken.append(waiter) }
        return core.state.contains(.active)
    }

    /// With the lock.
    var isClosed: Bool { core.state.contains(.closed) }

    private var node: UnsafeMutablePointer<TimerNode> { unsafe pointer.pointee.deadline }

    /// From `nanoseconds` on, operations fail, also one that waits now; nil: never, and from now on no more.
    func setDeadline(_ nanoseconds: Int64?) {
        let isOver = nanoseconds.map { $0 <= Clock.now } ?? false
        unsafe TimerNode.withHeap(of: node) { processor in
            _ = unsafe processor!.cell.timers.remove(node)
            if let nanoseconds, !isOver { unsafe TimerNode.armLocked(node, at: nanoseconds, on: processor!) }
            if isOver { return expire() }
            lock.lock()
            core.state.remove(.expired)
            lock.unlock()
        }
        if let nanoseconds, !isOver { SchedulerCore.timerSubmitted(nanoseconds) }
    }

    /// Before a new descriptor: nobody uses the lane. Its timers belong to `processor`'s heap from now on.
    func begin(_ processor: ProcessorRef) {
        unsafe node.pointee.heap.store(processor.cell.index, ordering: .releasing)
        lock.lock()
        core.state = []
        lock.unlock()
    }

    /// Once nobody uses it any more: no timer fires after this.
    func end() { _ = unsafe TimerNode.disarm(node) }
}
