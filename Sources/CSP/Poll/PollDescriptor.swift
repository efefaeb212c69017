import CCSP
import Synchronization

/// A descriptor that does not block, and that goroutines, threads and tasks wait for. Owns it: it is closed exactly once, when `close` was called or
/// nobody has this any more, and while nobody is in a system call with it.
///
/// An operation is: `enter`, then the system call; as long as that would block `wait` and the system call again; then `leave`. Where one of them throws,
/// the operation is over. One operation at a time in each direction; the others wait in `enter`, first come, first served.
package final class PollDescriptor: Sendable {
    // SAFETY: (whole type) the lock is the first property, alive with the object.
    // Must be first: the lock is used by its address. Locks of lanes are taken under it.
    private let lockWord = Atomic<UInt32>(0)
    /// What the poller tells of. Written under the lock, by whoever has the turn or has borrowed.
    private let interest = Atomic<UInt32>(0)
    // Guarded by the lock.
    nonisolated(unsafe) private var isClosed = false
    /// Who has borrowed it, and, once it is closed, who is in a lane's system call.
    nonisolated(unsafe) private var users = 0
    /// Closed when the descriptor is.
    nonisolated(unsafe) private var end: Channel<Never>?
    // Written once.
    private let cell: PollCellRef
    /// Not to be used but by an operation that has entered, or within `borrow`.
    package let descriptor: Int32

    /// - Parameter descriptor: Is this object's from now on. O_NONBLOCK must be set.
    package init(adopting descriptor: Int32) {
        self.descriptor = descriptor
        cell = PollCellRef.take(ProcessorRef.forTimers())
    }

    deinit {
        if unsafe !isClosed { closeDescriptor() }
        cell.giveBack()
    }

    private var lock: LockWord { LockWord(firstPropertyOf: self) }

    func lane(_ direction: PollDirections) -> PollLaneRef {
        direction == PollDirections.reading ? cell.reading : cell.writing
    }

    // MARK: Operations

    /// Waits for the turn. Fails at once if the descriptor is closed, its deadline has passed, or the context is done.
    /// - Parameter context: Ends the wait. The goroutine's current one, if nil.
    package func enter(_ direction: PollDirections, _ context: Context?) throws(PollFailure) {
        let context = context ?? GoroutineRef.current?.cell.currentContext
        if let context, let error = context.error { throw .context(error) }
        switch lane(direction).enter() {
        case .entered: return
        case .drained: try wait(direction, context)
        case .taken: try waitForTurn(direction, context)
        case .failed(let failure): throw failure
        }
    }

    private func waitForTurn(_ direction: PollDirections, _ context: Context?) throws(PollFailure) {
        let lane = lane(direction)
        if let done = context?.channel {
            let isOurs = Bubble.withWorkOutside { select(lane, forTurn: true, orUntil: done) }
            if !isOurs { throw .context(context!.error!) }
        } else {
            Bubble.withWorkOutside { lane.waitForTurn() }
        }
        try resume(lane)
    }

    /// After a system call that would have blocked: waits until it may succeed. When this throws the operation has been left.
    package func wait(_ direction: PollDirections, _ context: Context?) throws(PollFailure) {
        let lane = lane(direction)
        let context = context ?? GoroutineRef.current?.cell.currentContext
        try watchOrLeave(direction)
        count(1)
        defer { count(-1) }
        if let done = context?.channel {
            if !lane.mustRetry(),
                !Bubble.withWorkOutside({ select(lane, forTurn: false, orUntil: done) })
            {
                leave(direction)
                throw .context(context!.error!)
            }
        } else {
            Bubble.withWorkOutside { lane.park() }
        }
        try resume(lane)
    }

    /// The operation is over.
    /// - Parameter drained: The system call has taken all that there was to read, or filled all the room there was: the next operation waits first. Only
    ///   where the kernel tells of everything that comes after that, as it does of TCP's bytes.
    package func leave(_ direction: PollDirections, drained: Bool = false) {
        if lane(direction).leave(drained: drained) { giveUp() }
    }

    /// True when the lane is the caller's to go on with, false when the context is done.
    private func select(_ lane: PollLaneRef, forTurn: Bool, orUntil done: Channel<Never>) -> Bool {
        let plan = _PairPlan(first: PollPlan(lane, forTurn: forTurn), second: _ReceivePlan<Never>(done.core))
        var slots = _PairSlots<Void, Never?>(first: (), second: nil)
        let index = _chooseSlow(plan, &slots, isPrioritized: false)
        withExtendedLifetime(done) {}
        return index == 0
    }

    /// Counts who waits for the kernel.
    func count(_ change: Int) {
        // SAFETY: the scheduler is immortal.
        unsafe SchedulerCore.shared.cell.poller.waiting.add(change, ordering: .sequentiallyConsistent)
    }

    // MARK: Deadlines

    /// Operations in `directions` fail from that instant on, also one that waits now; nil: no deadline, and those from now on do not fail any more.
    package func setDeadline(_ instant: Time.Instant?, for directions: PollDirections) {
        let nanoseconds = instant.map(Clock.nanoseconds(of:))
        if directions.contains(.reading) { cell.reading.setDeadline(nanoseconds) }
        if directions.contains(.writing) { cell.writing.setDeadline(nanoseconds) }
    }

    // MARK: The poller

    /// Has the poller tell of `directions`, which it does from the first wait on. 0, or an error's number: EPERM if the kernel cannot tell.
    package func watch(_ directions: PollDirections) -> Int32 {
        if PollDirections(rawValue: interest.load(ordering: .acquiring)).isSuperset(of: directions) { return 0 }
        // SAFETY: the scheduler is immortal.
        let core = unsafe SchedulerCore.shared
        let error = core.usePoller()
        if error != 0 { return error }
        lock.lock()
        defer { lock.unlock() }
        let old = PollDirections(rawValue: interest.load(ordering: .relaxed))
        let new = old.union(directions)
        if new == old { return 0 }
        let refusal = core.cell.poller.backend.watch(descriptor, cell.token, new, isNew: old.isEmpty)
        if refusal == 0 {
            if old.isEmpty { core.cell.poller.watched.add(1, ordering: .relaxed) }
            interest.store(new.rawValue, ordering: .releasing)
        }
        return refusal
    }

    func watchOrLeave(_ direction: PollDirections) throws(PollFailure) {
        let error = watch(direction)
        if error == 0 { return }
        leave(direction)
        throw .system(error)
    }

    // MARK: Other uses

    /// Runs `body`, which must not block, with the descriptor.
    package func borrow<T, E: Error>(_ body: (Int32) throws(E) -> T) throws(E) -> T? {
        lock.lock()
        if unsafe isClosed {
            lock.unlock()
            return nil
        }
        unsafe users += 1
        lock.unlock()
        defer { giveUp() }
        return try body(descriptor)
    }

    /// With the turn, after a wait: the caller may try the system call. When this throws the operation has been left.
    func resume(_ lane: PollLaneRef) throws(PollFailure) {
        var wasLast = false
        guard let failure = lane.resume(&wasLast) else { return }
        if wasLast { giveUp() }
        throw failure
    }

    /// Somebody who counts in `users` does not use it any more.
    private func giveUp() {
        lock.lock()
        unsafe users -= 1
        let isLast = unsafe isClosed && users == 0
        lock.unlock()
        if isLast { closeDescriptor() }
    }

    // MARK: Closing

    /// Operations fail from now on, also those that wait. Returns when the descriptor is closed, which is once no system call uses it: those do not
    /// block. The second time does nothing.
    package func close() {
        var woken = ReadyChain()
        lock.lock()
        if unsafe isClosed { return lock.unlock() }
        unsafe isClosed = true
        let reading = cell.reading, writing = cell.writing
        reading.lock.lock()
        writing.lock.lock()
        if reading.closeLocked(&woken) { unsafe users += 1 }
        if writing.closeLocked(&woken) { unsafe users += 1 }
        writing.lock.unlock()
        reading.lock.unlock()
        let end = unsafe users > 0 ? Channel<Never>() : nil
        unsafe self.end = end
        lock.unlock()
        woken.ready()
        if let end { Bubble.withWorkOutside { _ = end.receive() } } else { closeDescriptor() }
    }

    private func closeDescriptor() {
        // SAFETY: the scheduler is immortal.
        if interest.load(ordering: .acquiring) != 0 {
            // The registration would outlive it if a child process has a copy.
            let core = unsafe SchedulerCore.shared
            core.cell.poller.backend.forget(descriptor)
            core.cell.poller.watched.subtract(1, ordering: .relaxed)
        }
        _ = csp_close(descriptor)
        unsafe end?.close()
    }
}

/// Ready when a lane's turn is free, or when who has the turn may try again.
@safe
struct PollPlan: _SelectPlan {
    // SAFETY: (whole type) lanes are immortal.
    private let lane: PollLaneRef
    private let forTurn: Bool

    init(_ lane: PollLaneRef, forTurn: Bool) {
        self.lane = lane
        self.forTurn = forTurn
    }

    static var count: Int { 1 }
    static var defaultIndex: Int { -1 }
    var firstLook: _SelectScan { _SelectScan(ready: 0, versions: 0) }
    func secondLook() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    func attempt(_ index: Int, locked: Bool, _ slot: inout Void) -> Bool {
        if !locked { lane.lock.lock() }
        defer { lane.lock.unlock() }
        return lane.attempt(forTurn: forTurn)
    }
    func describe(_ slot: inout Void, into entries: UnsafeMutablePointer<_SelectEntry>) {
        unsafe entries.initialize(
            to: _SelectEntry(.lane, nil, UnsafeMutableRawPointer(lane.pointer), nanoseconds: forTurn ? 1 : 0))
    }
}
