import CCSP
import Synchronization

// A bubble: goroutines with a clock of their own, which stands still while any of them can go on (Go's testing/synctest). With a guide they also take
// turns, one at a time, and the guide chooses whose turn it is: then everything that happens inside follows from the guide's seed.
//
// A member runs as every goroutine does, but always comes from the worker's loop and returns to it (`runMember`), where `hasLeft` finds that nobody else
// can go on, or gives the next one its turn. By then the member's locks are released: nobody inside ever waits for a lock of a member that has no turn.
//
// What members wait for must be inside, too: who waits counts as blocked for good until another member, or the bubble's clock, makes it ready. The
// exception is code that says so (`withWorkOutside`, which `runBlocking` uses).

/// Some goroutines with a clock of their own.
package final class Bubble: @unchecked Sendable {
    // SAFETY: (whole type) the lock is the first property, alive with the object; the rest is guarded by it. Goroutines stay while they are members.
    // Must be first: the lock is used by its address.
    private let lockWord = Atomic<UInt32>(0)
    /// Nanoseconds since boot, as it seems to members.
    /// Written under the lock while nobody inside runs, so members, who are made ready after that, see no older one; others may.
    private let clock: Atomic<Int64>
    /// Whose timers these are.
    let heap: ProcessorRef

    package let isGuided: Bool

    // Guarded by the lock. While it is held:
    // - with a guide, turn == taken ⇒ one member runs, or is on its way onto its stack, and it is not in `runnable`; else none runs
    // - with a guide, active == runnable.count, and one more if the turn is taken
    // - active == 0 ⇒ only the clock, a goroutine that waits for idleness or, if outside > 0, somebody outside can make one go on
    private var guide: Guide?
    /// Members that are not waiting.
    private var active = 0
    /// Members that have not ended.
    private var total = 0
    private var rootHasReturned = false
    /// Members that wait for something outside.
    private var outside = 0
    /// Those that wait until everybody else waits.
    private var idleWaiters: [GoroutineRef] = []
    /// With a guide: those that can go on, but have no turn.
    private var runnable: [GoroutineRef] = []
    private var turn = Turn.nobodys
    private var turns = 0
    private var state = State.running

    /// With a guide: who has the turn.
    private enum Turn {
        /// Everybody waits for something outside, or it has not begun.
        case nobodys
        case beingChosen
        case taken
    }

    private enum State {
        case running
        case over(Outcome)
    }

    package enum Outcome: Sendable {
        /// Everybody has returned.
        case done
        /// Everybody waits, for nothing that will ever come.
        case deadlock
        /// The same, but the first goroutine has returned.
        case leftover
        /// A member has found that something is wrong.
        case failed(String)
    }

    /// Closed when it is over.
    private let end = Channel<Never>()
    private let start: Int64

    package init(guide: Guide? = nil) {
        self.guide = guide
        isGuided = guide != nil
        start = csp_now()
        clock = Atomic(start)
        heap = SchedulerCore.takeHeap()
        csp_count_bubbles(1, isGuided)
    }

    deinit {
        csp_count_bubbles(-1, isGuided)
        SchedulerCore.giveBack(heap)
    }

    private var lock: LockWord { LockWord(firstPropertyOf: self) }
    private func withLock<T>(_ body: () -> T) -> T {
        lock.lock()
        defer { lock.unlock() }
        return body()
    }

    /// The time inside, in nanoseconds since boot.
    var now: Int64 { clock.load(ordering: .acquiring) }
    package var instant: ContinuousClock.Instant { Clock.instant(nanoseconds: now) }
    package var elapsed: Duration { .nanoseconds(now - start) }

    /// The caller's, if it is a member of one.
    package static var current: Bubble? {
        @inline(__always) get { csp_has_bubbles() ? currentSlow : nil }
    }

    @inline(never)
    private static var currentSlow: Bubble? { GoroutineRef.current?.bubble }

    // MARK: From outside

    /// Starts the first goroutine, which runs `body`; for `waitForEnd`.
    package func begin(_ body: sending @escaping () -> Void) -> Family {
        let family = Family(of: self)
        // SAFETY: `body` is sent to the goroutine.
        let body = unsafe UnsafeSending(body)
        unsafe GoroutineRef.spawn(
            "main", in: family, creatorAddress: csp_return_address(),
            GoroutineBody(
                run: {
                    unsafe body.value()
                    self.withLock { self.rootHasReturned = true }
                }, group: nil))
        return family
    }

    /// Waits until it is over. The clock of a bubble around this one stands still meanwhile.
    package func waitForEnd() { Self.withWorkOutside { _ = end.receive() } }

    /// How it ended, once it has.
    package var outcome: Outcome? {
        withLock { if case .over(let outcome) = state { outcome } else { nil } }
    }

    /// What was done, in order; nil without a guide.
    package var trace: ExplorationTrace? { withLock { guide?.trace } }

    // MARK: Members come, wait, go on and end

    /// A new member, before it runs for the first time. True if it is for the bubble to say when.
    func join(_ goroutine: GoroutineRef) -> Bool {
        lock.lock()
        total += 1
        active += 1
        guard isGuided else {
            lock.unlock()
            return false
        }
        guide!.meet(goroutine.cell.id, name: goroutine.cell.name)
        makeRunnable(goroutine)
        return true
    }

    /// A member that waited can go on. True if it is for the bubble to say when.
    func ready(_ goroutine: GoroutineRef) -> Bool {
        lock.lock()
        active += 1
        guard isGuided else {
            lock.unlock()
            return false
        }
        goroutine.cell.status = .runnable
        makeRunnable(goroutine)
        return true
    }

    /// With the lock, which is released.
    private func makeRunnable(_ goroutine: GoroutineRef) {
        runnable.append(goroutine)
        guard turn == .nobodys else { return lock.unlock() }
        turn = .beingChosen
        lock.unlock()
        goOn()
    }

    /// How a member has left its stack.
    enum Leaving { case waits, givesWay, ends }

    /// In the worker's loop, when a member has left its stack and let go of its locks. It may be running again.
    func hasLeft(_ goroutine: GoroutineRef, _ leaving: Leaving) {
        lock.lock()
        switch leaving {
        case .waits: active -= 1
        case .ends:
            active -= 1
            total -= 1
        case .givesWay: if isGuided { runnable.append(goroutine) }
        }
        if isGuided { turn = .beingChosen }
        let isQuiet = active == 0
        lock.unlock()
        if isQuiet || isGuided { goOn() }
    }

    /// When nobody can go on, or there is a turn to give.
    private func goOn() {
        while true {
            lock.lock()
            guard isRunning, !isGuided || turn == .beingChosen else { return lock.unlock() }
            if active > 0 {
                guard isGuided else { return lock.unlock() }
                #if INTERNAL_CHECKS
                    if active != runnable.count {
                        fatal("fatal error: bubble: \(active) can go on, \(runnable.count) are listed")
                    }
                #endif
                turns += 1
                if turns > guide!.mostSteps { return finish(.failed(endless)) }
                switch guide!.choose(from: runnable, timers: mayPassTime) {
                case .time: passTime()
                case .goroutine(let place):
                    let next = runnable.remove(at: place)
                    turn = .taken
                    lock.unlock()
                    return next.takeTurn()
                }
            } else if outside > 0 {
                turn = .nobodys
                return lock.unlock()
            } else if !idleWaiters.isEmpty {
                let next = idleWaiters.removeFirst()
                lock.unlock()
                next.ready()
            } else if total == 0 {
                return finish(.done)
            } else if mayPassTime {
                passTime()
            } else {
                return finish(rootHasReturned ? .leftover : .deadlock)
            }
        }
    }

    /// Time stops when the first goroutine has returned, as in Go's.
    private var mayPassTime: Bool {
        !rootHasReturned && outside == 0 && heap.cell.timers.earliest.load(ordering: .acquiring) != .max
    }

    /// With the lock, which is released: goes on to the next deadline.
    private func passTime() {
        let next = max(now, heap.cell.timers.earliest.load(ordering: .acquiring))
        clock.store(next, ordering: .releasing)
        guide?.noteTime(next - start)
        lock.unlock()
        heap.runTimers(at: next)
    }

    /// With the lock, which is released. Members that are left never run again.
    private func finish(_ outcome: Outcome) {
        state = .over(outcome)
        lock.unlock()
        end.close()
    }

    // MARK: By members

    /// With a guide: whoever comes here, before doing `operation` with `object`, may have to let others go first. Returns when it is the caller's turn.
    func mayPass(_ operation: Operation, _ object: AnyObject?, _ caller: GoroutineRef) {
        // The sanitizer must not take turns for an order that the program has made.
        let mustWait = RaceDetector.ignoring {
            withLock { isRunning && guide!.mustWait(caller.cell.id, others: runnable, timers: mayPassTime) }
        }
        if mustWait { caller.giveWay() }
        let isEndless = RaceDetector.ignoring {
            withLock {
                guard isRunning else { return false }
                return guide!.note(operation, object, caller.cell.id) > guide!.mostSteps
            }
        }
        if isEndless { fail(endless) }
    }

    private var endless: String { "no end after \(guide!.mostSteps) steps" }

    private var isRunning: Bool { if case .running = state { true } else { false } }

    /// With a guide: writes down what the caller does without being asked whether it may.
    func note(_ operation: Operation, _ caller: GoroutineRef) {
        RaceDetector.ignoring { withLock { _ = guide!.note(operation, nil, caller.cell.id) } }
    }

    /// A choice of chance; nil without a guide.
    func randomBits() -> UInt64? { withLock { guide?.random.next() } }

    /// The caller has found that something is wrong: nobody inside goes on.
    package func fail(_ message: String) {
        lock.lock()
        guard isRunning else { return lock.unlock() }
        finish(.failed(message))
        if isGuided { GoroutineRef.current!.giveWay() }
    }

    /// Waits until every other member does.
    package func waitUntilIdle() {
        let caller = GoroutineRef.current!
        lock.lock()
        idleWaiters.append(caller)
        caller.park(.idle, .unlock(lock))
    }

    /// Runs `body`, in which the caller waits for something outside. The clock stands still meanwhile.
    static func withWorkOutside<T>(_ body: () -> T) -> T {
        guard let bubble = current else { return body() }
        bubble.withLock { bubble.outside += 1 }
        defer { bubble.withLock { bubble.outside -= 1 } }
        return body()
    }
}

extension GoroutineRef {
    @inline(never)
    func yieldInFamily() {
        if let bubble, bubble.isGuided { bubble.note(.yield, self) }
        giveWay()
    }

    /// For one that waited; true if the bubble makes it run.
    @inline(never)
    func isReadyInBubble() -> Bool { bubble?.ready(self) ?? false }

    /// For a new one.
    @inline(never)
    func joinFamily() -> Bool {
        let family = cell.family!
        family.join()
        return family.bubble?.join(self) ?? false
    }

    fileprivate func takeTurn() {
        check(.runnable, before: "its turn")
        if GoroutineRef.current == nil, let processor = WorkerRef.current?.cell.processor {
            processor.setRunNext(self)
        } else {
            submit()
        }
    }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// In the loop: runs a member of a bubble, which comes back here.
    @inline(never)
    func runMember(_ goroutine: GoroutineRef, of bubble: Bubble) {
        cell.returnsToLoop.insert(.member)
        goroutine.cell.footing = goroutine.cell.footing == .locked ? .locked : .member
        enter(goroutine)
        cell.returnsToLoop.remove(.member)
        let leaving: Bubble.Leaving
        switch cell.afterwards {
        case .enqueue: leaving = .givesWay
        case .recycle: leaving = .ends
        default: leaving = .waits
        }
        if leaving == .givesWay, bubble.isGuided {
            cell.afterwards = .nothing
            goroutine.cell.status = .runnable
        }
        finishSwitch()
        bubble.hasLeft(goroutine, leaving)
    }
}
