import CCSP
import Synchronization

// A goroutine's life, in order: spawn, start, park, ready, yield, exit.

extension GoroutineRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    @inline(__always)
    init?(_ raw: UnsafeMutableRawPointer?) {
        guard let raw = unsafe raw else { return nil }
        // SAFETY: only control blocks' addresses are stored as raw goroutines.
        unsafe pointer = raw.assumingMemoryBound(to: GoroutineCell.self)
    }

    /// The calling goroutine, or nil on any other thread's stack.
    @usableFromInline
    static var current: GoroutineRef? {
        @inline(__always) get { unsafe GoroutineRef(csp_current_goroutine()) }
    }

    // MARK: Spawn

    /// Makes `body` a runnable goroutine.
    @inline(never)
    static func spawn(
        _ name: String?, stackSize: Int?, creatorAddress: UnsafeMutableRawPointer?, inheritsTaskLocals: Bool = true,
        _ body: consuming GoroutineBody
    ) {
        exploreBefore(.go)
        let creator = current
        // Only a thread outside may be the first; what is usual is known once the scheduler has booted.
        if creator == nil { _ = unsafe SchedulerCore.shared }
        let fiber = csp_has_fibers ? unsafe csp_fiber_create() : nil
        if unsafe fiber != nil { csp_race_ignore() }
        defer { if unsafe fiber != nil { csp_race_heed() } }
        var stackClass = StackArena.defaultClass
        if let stackSize {
            guard let chosen = StackArena.kind(for: stackSize) else {
                fatal("panic: go: stack size \(stackSize) out of range (1 byte to 1 GiB)")
            }
            stackClass = chosen
        }
        let task = inheritsTaskLocals ? DormantTask.capture(by: creator) : nil
        if creator?.cell.isInFamily ?? false || Family.mayBeBound {
            return unsafe start(name, stackClass, unsafe creatorAddress, task, fiber, Family.of(creator), body)
        }
        if let creator {
            let worker = creator.cell.worker!
            if let processor = worker.enter() {
                let goroutine = processor.takeFreeGoroutine()
                goroutine.cell.id = processor.takeID()
                goroutine.cell.creatorID = creator.cell.id
                unsafe goroutine.setUp(name, stackClass, unsafe creatorAddress, task, fiber, body)
                let started = processor.cell.started.load(ordering: .relaxed)
                processor.cell.started.store(started &+ 1, ordering: .releasing)
                processor.setRunNext(goroutine)
                worker.exit()
                SchedulerCore.running.cell.monitor.noteWaiting()
                return
            }
            worker.exit()
        }
        unsafe start(name, stackClass, unsafe creatorAddress, task, fiber, nil, body)
    }

    /// Makes `body` a goroutine of `family`'s, whoever the caller is.
    @inline(never)
    static func spawn(
        _ name: String?, in family: Family, creatorAddress: UnsafeMutableRawPointer?, _ body: consuming GoroutineBody
    ) {
        _ = unsafe SchedulerCore.shared
        let fiber = csp_has_fibers ? unsafe csp_fiber_create() : nil
        if unsafe fiber != nil { csp_race_ignore() }
        defer { if unsafe fiber != nil { csp_race_heed() } }
        unsafe start(
            name, StackArena.defaultClass, unsafe creatorAddress, DormantTask.capture(by: current), fiber, family, body)
    }

    /// From a thread outside or a goroutine without a processor, or into a family.
    @inline(never)
    private static func start(
        _ name: String?, _ stackClass: Int, _ creatorAddress: UnsafeMutableRawPointer?, _ task: DormantTask?,
        _ fiber: OpaquePointer?, _ family: Family?, _ body: consuming GoroutineBody
    ) {
        let creator = current
        let core = unsafe SchedulerCore.shared
        let goroutine = core.takeFreeGoroutine()
        goroutine.cell.id = core.cell.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
        goroutine.cell.creatorID = creator?.cell.id ?? 0
        unsafe goroutine.setUp(name, stackClass, unsafe creatorAddress, task, fiber, body)
        core.cell.startedOutside.wrappingAdd(1, ordering: .releasing)
        if let family { goroutine.setFamily(family) }
        if family == nil || !goroutine.joinFamily() { goroutine.submit() }
        // Not giving way where there is no processor: `go` is no scheduling point, and whoever calls it may hold a lock that belongs to the thread.
        _ = creator?.cell.worker!.regainProcessor()
    }

    @inline(__always)
    private func setUp(
        _ name: String?, _ stackClass: Int, _ creatorAddress: UnsafeMutableRawPointer?, _ task: DormantTask?,
        _ fiber: OpaquePointer?, _ body: consuming GoroutineBody
    ) {
        if csp_watch() != 0 { unsafe setUpWatched(unsafe fiber) }
        cell.body = consume body
        if name != nil { setName(name) }
        if let task {
            cell.savedState = unsafe ThreadStateLayout.shared.state(inTask: task.address)
            cell.hasSavedState = true
            cell.hasLuggage = true
            cell.dormantTask = task
        }
        cell.stackClass = UInt8(truncatingIfNeeded: stackClass)
        unsafe cell.creatorAddress = unsafe creatorAddress
        cell.status = .runnable
    }

    @inline(never)
    private func setUpWatched(_ fiber: OpaquePointer?) {
        if let fiber = unsafe fiber {
            unsafe csp_race_forget(pointer, MemoryLayout<GoroutineCell>.size)
            unsafe cell.fiber = unsafe fiber
        }
        Watch.isMade(self)
    }

    // MARK: Park

    /// Leaves the stack until somebody calls `ready`. What `afterwards` names is released once the stack is left.
    @inline(__always)
    func park(_ reason: WaitReason, _ afterwards: Afterwards) {
        if csp_has_fibers { parkWatched(reason, afterwards) } else { park(reason, afterwards, isWatched: false) }
    }

    @inline(never)
    private func parkWatched(_ reason: WaitReason, _ afterwards: Afterwards) {
        RaceDetector.release(afterwards)
        csp_race_ignore()
        park(reason, afterwards, isWatched: true)
        RaceDetector.goOn(self)
        RaceDetector.hasWaited(afterwards)
    }

    @inline(__always)
    private func park(_ reason: WaitReason, _ afterwards: Afterwards, isWatched: Bool) {
        check(.running, before: "park")
        cell.waitReason = reason
        cell.waitingSince = csp_coarse_now()
        cell.status = .waiting
        leave(afterwards, isWatched: isWatched)
    }

    /// Switches to the next goroutine at hand, or else to the worker. Returns when a worker, perhaps another, enters this one again.
    @inline(__always)
    private func leave(_ afterwards: Afterwards, isWatched: Bool) {
        let worker = cell.worker!
        leave(afterwards, worker, worker.enter(), isWatched: isWatched)
    }

    /// The same inside a section, which must not be entered anew: it would let a claim in, and what is in `handed` needs the processor.
    @inline(__always)
    private func leave(
        _ afterwards: Afterwards, _ worker: WorkerRef, _ processor: ProcessorRef?, isWatched: Bool, isLast: Bool = false
    ) {
        worker.cell.afterwards = afterwards
        if worker.cell.stateWords.anySet { saveState(from: worker.cell.stateWords) }
        let next = worker.cell.returnsToLoop.isEmpty ? worker.takeAtOnce(processor) : nil
        if isWatched { unsafe csp_fiber_switch(cell.fiber, next?.cell.fiber ?? worker.cell.fiber, isLast) }
        // SAFETY: nothing of this thread is used after the switch.
        unsafe csp_leave(context, next?.context ?? worker.context)
        if isWatched { unsafe csp_fiber_arrive(cell.fiber) }
        arrive()
    }

    /// What comes first on the stack that was switched to.
    @inline(__always)
    fileprivate func arrive() {
        noteArrival()
        let worker = cell.worker!
        if cell.hasSavedState { restoreState(into: worker.cell.stateWords) }
        worker.finishSwitch()
        worker.exit()
    }

    /// On a stack of its own. Not in the frame that stays for the goroutine's life, where it would leave the address of a channel of the goroutine that ran before: a search
    /// for leaks would take that for a reason to let both live.
    @inline(never)
    fileprivate func arriveFirst() { arrive() }

    /// For dumps, which tell a stack that is left from one in use by this. In this order: see Diagnostics/Sighting.swift.
    @inline(__always)
    fileprivate func noteArrival() {
        unsafe cell.context.pc = nil
        csp_compiler_barrier()
        cell.arrivals &+= 1
        csp_compiler_barrier()
    }

    /// What switches save into and continue at.
    var context: UnsafeMutablePointer<csp_context> {
        // SAFETY: contexts are the first fields of their cells.
        @inline(__always) get { unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: csp_context.self) }
    }

    // MARK: Ready

    /// Makes a parked goroutine runnable: on the caller's processor, or from outside through the mailbox or the global queue.
    @usableFromInline @inline(never)
    func ready() {
        if csp_watch() != 0 { readyWatched() } else { makeReady() }
    }

    @inline(never)
    private func readyWatched() {
        if RaceDetector.isOn { unsafe csp_fiber_wakes(cell.fiber) }
        RaceDetector.ignoring {
            Watch.isReady(self)
            makeReady()
        }
    }

    /// What is usual. All that is not goes on elsewhere, so that here no register need be kept.
    @inline(__always)
    private func makeReady() {
        check(.waiting, before: "ready")
        if cell.isInFamily { return makeReadySlow() }
        guard let worker = Self.current?.cell.worker, let processor = worker.enterAtOnce() else {
            return makeReadySlow()
        }
        cell.status = .runnable
        if let replaced = processor.exchangeRunNext(self) {
            replaced.check(.runnable, before: "it queues")
            if !processor.cell.queue.push(replaced) { return Self.finishReady(worker, processor, replaced) }
        }
        worker.exit()
        SchedulerCore.running.cell.monitor.noteWaiting()
    }

    @inline(never)
    private static func finishReady(_ worker: WorkerRef, _ processor: ProcessorRef, _ replaced: GoroutineRef) {
        processor.enqueue(replaced)
        worker.exit()
        SchedulerCore.running.cell.monitor.noteWaiting()
    }

    @inline(never)
    private func makeReadySlow() {
        if cell.isInFamily, isReadyInBubble() { return }
        cell.status = .runnable
        if let caller = Self.current {
            let worker = caller.cell.worker!
            if let processor = worker.enter() {
                processor.setRunNext(self)
                worker.exit()
                return SchedulerCore.running.cell.monitor.noteWaiting()
            }
            worker.exit()
            _ = worker.regainProcessor()
        } else if let processor = WorkerRef.current?.cell.processor {
            // A worker that fires timers, or has events. It takes goroutines from its queue next, and tells the monitor if it leaves some there.
            processor.enqueue(self)
            return SchedulerCore.running.cell.monitor.noteAwake()
        }
        submit()
    }

    /// Hands a runnable goroutine to whoever has a processor.
    func submit() {
        check(.runnable, before: "submit")
        let core = unsafe SchedulerCore.shared
        if core.cell.mailbox.post(self) { return }
        core.cell.global.append(self)
        core.submitted()
    }

    // MARK: Yield

    @inline(__always)
    func yield() {
        if cell.isInFamily { return yieldInFamily() }
        if let processor = cell.worker!.cell.processor, processor.isAlone { return }
        giveWay()
    }

    @inline(never)
    func giveWay() {
        if csp_has_fibers { return giveWayWatched() }
        cell.waitReason = .yield
        leave(.enqueue(self), isWatched: false)
    }

    @inline(never)
    private func giveWayWatched() {
        csp_race_ignore()
        cell.waitReason = .yield
        leave(.enqueue(self), isWatched: true)
        RaceDetector.goOn(self)
    }

    // MARK: Exit

    /// Returns only if the next goroutine at hand has no stack yet: then it has this one, and all that is left of a thousand short goroutines
    /// is a loop.
    @inline(__always)
    fileprivate func exit() {
        let worker = cell.worker!
        // What the body has left behind (nothing, in Swift) ends with it.
        if worker.cell.stateWords.anySet { _ = worker.cell.stateWords.take() }
        let processor = worker.enter()
        let isWatched = csp_has_fibers
        if !isWatched, worker.cell.returnsToLoop.isEmpty, let processor,
            let next = worker.takeFresh(processor, like: self)
        {
            next.cell.stackSlot = cell.stackSlot
            next.cell.footing = .own
            cell.footing = .none
            next.noteArrival()
            worker.begin(next, processor)
            // SAFETY: this is the stack that changes hands.
            unsafe csp_set_current_goroutine(UnsafeMutableRawPointer(next.pointer))
            unsafe csp_restore_controls(worker.context)
            if next.cell.hasSavedState { next.restoreState(into: worker.cell.stateWords) }
            worker.recycle(self)
            worker.exit()
            return
        }
        leave(.recycle(self), worker, processor, isWatched: isWatched, isLast: true)
        fatal("fatal error: a goroutine that had ended ran again")
    }

    /// Lets go of what it was given for its life.
    @inline(never)
    fileprivate func dropLuggage() {
        if cell.name != nil { setName(nil) }
        if cell.currentContext != nil { cell.currentContext = nil }
        if cell.dormantTask != nil {
            // The task runs to its end within the release, so it must not be the current one.
            _ = cell.worker!.cell.stateWords.take()
            cell.dormantTask = nil
        }
        cell.hasLuggage = false
    }

    /// Runs the body and releases it, both on the goroutine's stack: what a closure captured may run any code as it goes.
    @inline(never)
    fileprivate func runBody() {
        let body = cell.body.take()!
        let group = unsafe body.group
        run(body.run)
        // SAFETY: the body has owned it.
        guard let group = unsafe group else { return }
        unsafe group._withUnsafeGuaranteedRef { $0.done() }
        unsafe group.release()
    }

    @inline(__always)
    private func run(_ body: consuming @escaping () -> Void) { body() }
}

/// The first function on every goroutine's stack.
func goroutineMain() -> Never {
    if csp_has_fibers {
        // SAFETY: it was made with the goroutine, and we are on its stack.
        unsafe csp_fiber_arrive(GoroutineRef.current!.cell.fiber)
        csp_race_ignore()
    }
    GoroutineRef.current!.arriveFirst()
    while true {
        // Another one each time.
        let goroutine = GoroutineRef.current!
        if csp_has_fibers { RaceDetector.goOn(goroutine) }
        goroutine.runBody()
        if csp_has_fibers { csp_race_ignore() }
        if goroutine.cell.hasLuggage { goroutine.dropLuggage() }
        if goroutine.cell.isInFamily { goroutine.leaveFamily() }
        goroutine.exit()
    }
}

// MARK: Control blocks and ids

extension ProcessorRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    private static var idBatch: Int { 16 }
    private static var mostFree: Int { 2048 }

    @inline(__always)
    func takeID() -> UInt64 {
        if cell.idsLeft == 0 {
            cell.nextID =
                SchedulerCore.running.cell.nextID.wrappingAdd(
                    UInt64(Self.idBatch), ordering: .relaxed
                ).oldValue
            cell.idsLeft = Self.idBatch
        }
        cell.idsLeft -= 1
        cell.nextID += 1
        return cell.nextID - 1
    }

    @inline(__always)
    func takeFreeGoroutine() -> GoroutineRef {
        if let free = cell.freeGoroutines.pop() { return free }
        SchedulerCore.running.refill(&cell.freeGoroutines, 64)
        return cell.freeGoroutines.pop()!
    }

    @inline(__always)
    func recycle(_ goroutine: GoroutineRef) {
        cell.freeGoroutines.push(goroutine)
        if cell.freeGoroutines.count > Self.mostFree {
            SchedulerCore.running.takeBack(Self.mostFree / 2, of: &cell.freeGoroutines)
        }
    }
}

extension SchedulerCore {
    /// For a worker without a processor.
    func recycle(_ goroutine: GoroutineRef) {
        cell.endedOutside.wrappingAdd(1, ordering: .releasing)
        giveBack(goroutine)
    }

    /// One that was not used, or is not any more.
    func giveBack(_ goroutine: GoroutineRef) {
        cell.freeLock.lock()
        cell.freeGoroutines.push(goroutine)
        cell.freeLock.unlock()
    }

    func takeFreeGoroutine() -> GoroutineRef {
        cell.freeLock.lock()
        defer { cell.freeLock.unlock() }
        if cell.freeGoroutines.count == 0 { makeGoroutines() }
        return cell.freeGoroutines.pop()!
    }

    func takeBack(_ count: Int, of free: inout FreeGoroutines) {
        cell.freeLock.lock()
        free.move(oldest: count, to: &cell.freeGoroutines)
        cell.freeLock.unlock()
    }

    /// Adds `count` free control blocks to `free`: recycled ones, else new ones.
    func refill(_ free: inout FreeGoroutines, _ count: Int) {
        cell.freeLock.lock()
        if cell.freeGoroutines.count == 0 { makeGoroutines() }
        cell.freeGoroutines.move(newest: count, to: &free)
        cell.freeLock.unlock()
    }

    static var goroutinesPerChunk: Int { 64 }

    /// Guarded by freeLock.
    private func makeGoroutines() {
        let chunk = Self.goroutinesPerChunk
        let stride = (MemoryLayout<GoroutineCell>.stride + 63) & ~63
        guard let memory = unsafe cell.goroutineMemory.take(chunk * stride) else {
            fatal("fatal error: out of memory for goroutines")
        }
        for index in (0..<chunk).reversed() {
            // SAFETY: fresh memory of the right size and alignment.
            let reference = unsafe GoroutineRef(memory + index * stride)!
            unsafe reference.pointer.initialize(to: GoroutineCell(reference))
            cell.freeGoroutines.push(reference)
        }
        if csp_has_fibers { unsafe csp_keep_reachable(memory, chunk * stride) }
        unsafe cell.registry.add(memory, count: chunk, stride: stride)
    }

    /// Goroutines started and not ended.
    var goroutineCount: Int {
        // Ends first: a goroutine that starts and ends meanwhile must not count as ended only.
        var ended = cell.endedOutside.load(ordering: .acquiring), started = 0
        let count = cell.processorCount.load(ordering: .acquiring)
        for index in 0..<count { ended += processor(index).cell.ended.load(ordering: .acquiring) }
        for index in 0..<count { started += processor(index).cell.started.load(ordering: .acquiring) }
        return started + cell.startedOutside.load(ordering: .acquiring) - ended
    }
}
