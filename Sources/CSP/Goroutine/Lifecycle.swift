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
        _ name: String?, stackClass: Int, creatorAddress: UnsafeMutableRawPointer?,
        _ body: consuming GoroutineBody
    ) {
        if let creator = current {
            let processor = creator.cell.worker!.cell.processor!
            let goroutine = processor.takeFreeGoroutine()
            goroutine.cell.id = processor.takeID()
            goroutine.cell.creatorID = creator.cell.id
            unsafe goroutine.setUp(name, stackClass, unsafe creatorAddress, body)
            let started = processor.cell.started.load(ordering: .relaxed)
            processor.cell.started.store(started &+ 1, ordering: .releasing)
            processor.setRunNext(goroutine)
            unsafe SchedulerCore.shared.cell.monitor.noteWaiting()
        } else {
            let core = unsafe SchedulerCore.shared
            let goroutine = core.takeFreeGoroutine()
            goroutine.cell.id = core.cell.nextID.add(1, ordering: .relaxed).oldValue
            goroutine.cell.creatorID = 0
            unsafe goroutine.setUp(name, stackClass, unsafe creatorAddress, body)
            core.cell.startedOutside.add(1, ordering: .releasing)
            core.cell.global.append(goroutine)
            core.submitted()
        }
    }

    @inline(__always)
    private func setUp(
        _ name: String?, _ stackClass: Int, _ creatorAddress: UnsafeMutableRawPointer?,
        _ body: consuming GoroutineBody
    ) {
        cell.body = consume body
        if name != nil { cell.name = name }
        if let task = DormantTask.capture() {
            cell.savedState = unsafe ThreadStateLayout.shared.state(inTask: task.address)
            cell.hasSavedState = true
            cell.dormantTask = task
        }
        cell.stackClass = UInt8(truncatingIfNeeded: stackClass)
        unsafe cell.creatorAddress = unsafe creatorAddress
        cell.status = .runnable
    }

    // MARK: Park

    /// Leaves the stack until somebody calls `ready`. What `release` names is released once the stack is left.
    @usableFromInline @inline(never)
    func park(_ reason: WaitReason, releasing release: Release) {
        cell.waitReason = reason
        cell.status = .waiting
        let worker = cell.worker!
        worker.cell.release = release
        leave(worker, .park)
    }

    @inline(__always)
    private func leave(_ worker: WorkerRef, _ outcome: Outcome) {
        worker.cell.outcome = outcome
        // SAFETY: contexts are the first fields of their cells. Nothing of this thread is used after the switch.
        unsafe csp_leave(
            UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: csp_context.self),
            UnsafeMutableRawPointer(worker.pointer).assumingMemoryBound(to: csp_context.self))
    }

    // MARK: Ready

    /// Makes a parked goroutine runnable: on the caller's processor, or from outside through the global queue.
    @usableFromInline @inline(never)
    func ready() {
        cell.status = .runnable
        if let caller = Self.current {
            caller.cell.worker!.cell.processor!.setRunNext(self)
            unsafe SchedulerCore.shared.cell.monitor.noteWaiting()
        } else if let processor = WorkerRef.current?.cell.processor {
            // A worker that fires timers.
            processor.enqueue(self)
            unsafe SchedulerCore.shared.cell.monitor.noteWaiting()
        } else {
            let core = unsafe SchedulerCore.shared
            core.cell.global.append(self)
            core.submitted()
        }
    }

    // MARK: Yield

    @inline(never)
    func yield() {
        let worker = cell.worker!, processor = worker.cell.processor!
        // Alone: nobody to let run, except when it is time to look further.
        if processor.cell.queue.isEmpty, unsafe processor.cell.runNext.load(ordering: .relaxed) == nil {
            let tick = processor.cell.tick.load(ordering: .relaxed) &+ 1
            processor.cell.tick.store(tick, ordering: .relaxed)
            if tick & 15 != 0 { return }
        }
        cell.waitReason = .yield
        leave(worker, .yield)
    }

    // MARK: Exit

    fileprivate func exit() -> Never {
        leave(cell.worker!, .exit)
        fatal("fatal error: a goroutine that had ended ran again")
    }

    @inline(never)
    fileprivate func leaveDormantTask() {
        // The task runs to its end within the release, so it must not be the current one.
        _ = cell.worker!.cell.stateWords.take()
        cell.dormantTask = nil
    }

    /// Runs the body and releases it, both on the goroutine's stack: what a closure captured may run any code as it goes.
    @inline(never)
    fileprivate func runBody() {
        let body = cell.body.take()!
        body.run()
    }
}

/// The first function on every goroutine's stack.
func goroutineMain() -> Never {
    let goroutine = GoroutineRef.current!
    goroutine.runBody()
    if goroutine.cell.name != nil { goroutine.cell.name = nil }
    if goroutine.cell.dormantTask != nil { goroutine.leaveDormantTask() }
    goroutine.exit()
}

// MARK: Control blocks and ids

extension ProcessorRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    private static var idBatch: Int { 16 }
    private static var mostFree: Int { 512 }

    @inline(__always)
    func takeID() -> UInt64 {
        if cell.idsLeft == 0 {
            cell.nextID = unsafe SchedulerCore.shared.cell.nextID.add(UInt64(Self.idBatch), ordering: .relaxed).oldValue
            cell.idsLeft = Self.idBatch
        }
        cell.idsLeft -= 1
        cell.nextID += 1
        return cell.nextID - 1
    }

    @inline(__always)
    func takeFreeGoroutine() -> GoroutineRef {
        if let free = cell.freeGoroutines.popFirst() { return free }
        unsafe SchedulerCore.shared.refill(&cell.freeGoroutines, 64)
        return cell.freeGoroutines.popFirst()!
    }

    @inline(__always)
    func recycle(_ goroutine: GoroutineRef) {
        cell.freeGoroutines.prepend(goroutine)
        if cell.freeGoroutines.count > Self.mostFree {
            var half = GoroutineChain()
            for _ in 0..<Self.mostFree / 2 { half.append(cell.freeGoroutines.popFirst()!) }
            unsafe SchedulerCore.shared.giveFree(half)
        }
    }
}

extension SchedulerCore {
    func takeFreeGoroutine() -> GoroutineRef {
        var chain = GoroutineChain()
        refill(&chain, 1)
        return chain.popFirst()!
    }

    func giveFree(_ chain: GoroutineChain) {
        cell.freeLock.lock()
        cell.freeGoroutines.append(chain)
        cell.freeLock.unlock()
    }

    /// Adds `count` free control blocks to `chain`: recycled ones, else new ones.
    func refill(_ chain: inout GoroutineChain, _ count: Int) {
        cell.freeLock.lock()
        defer { cell.freeLock.unlock() }
        if cell.freeGoroutines.first == nil {
            let chunk = 64
            let stride = (MemoryLayout<GoroutineCell>.stride + 63) & ~63
            guard let memory = unsafe csp_immortal_memory(chunk * stride) else {
                fatal("fatal error: out of memory for goroutines")
            }
            for index in 0..<chunk {
                // SAFETY: fresh memory of the right size and alignment.
                let reference = unsafe GoroutineRef(memory + index * stride)!
                unsafe reference.pointer.initialize(to: GoroutineCell())
                cell.freeGoroutines.append(reference)
            }
        }
        for _ in 0..<count {
            guard let one = cell.freeGoroutines.popFirst() else { break }
            chain.append(one)
        }
    }

    /// Goroutines started and not ended.
    var goroutineCount: Int {
        // Ends first: a goroutine that starts and ends meanwhile must not count as ended only.
        var ended = 0, started = 0
        let count = cell.processorCount.load(ordering: .acquiring)
        for index in 0..<count { ended += processor(index).cell.ended.load(ordering: .acquiring) }
        for index in 0..<count { started += processor(index).cell.started.load(ordering: .acquiring) }
        return started + cell.startedOutside.load(ordering: .acquiring) - ended
    }
}
