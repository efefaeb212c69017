import CCSP

// How a dump looks at goroutines that others run.
//
// Nothing stops meanwhile, and goroutines do almost nothing for it: a park notes the coarse time, and an arrival on a stack clears the
// saved program counter (Z), then counts itself (A). The switch away saves the program counter last (P). All are plain stores.
//
// Never a fault: control blocks are immortal; a stack is read only within its slot and above the guard, which stays mapped; frame
// pointers are followed only upwards. That holds whatever was read.
//
// Believed only if true: a look reads the count of arrivals (a), then the program counter, which must be set, then the stack, and then the
// count again (b), which must be the same, as must the rest. Suppose that the walk saw a store of the k-th run, the one that A_k begins. A_k came
// before it, so b counts it; a is the same, so A_k, and Z_k before it, were visible at first; so the program counter was set by a P after
// Z_k: that run had ended before the walk began. So all that the walk saw is as the last run left it. The argument needs each thread's
// stores to be seen in order, and our reads to happen in order: so it is on x86-64; elsewhere `csp_settle_reads` makes every
// thread pass a barrier between the walk and b.
// A slot that has gone to another goroutine: `footing` was cleared before the slot was given back, and is read again at the end.

/// What was seen of one goroutine.
struct Sighting {
    enum State: UInt8 {
        case waiting, runnable, running, inSystemCall
    }
    var id: UInt64
    var state = State.running
    var reason = WaitReason.none
    var waitingSince: Int64 = 0
    var creatorID: UInt64 = 0
    var creatorAddress: UInt = 0
    /// In Go's words.
    var stateText: String {
        switch state {
        case .waiting: reason.description
        case .runnable: "runnable"
        case .running: "running"
        case .inSystemCall: "syscall"
        }
    }
    /// Whether its stack could be seen. A goroutine that has not run yet has none, which counts as seen.
    var hasTrace = false
}

/// Looks at goroutines, one after the other. One at a time in the process: it holds the signal that asks running goroutines.
@safe
struct Observer: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and all that others may be writing is read by `csp_peek`; the trace is ours.
    /// The stack of the goroutine that was seen last.
    let trace: UnsafeMutablePointer<csp_trace>
    /// The goroutine that asks, and its stack; it is blocked until it has its answer.
    private let own: OwnTrace?
    /// Nanoseconds left for threads that do not answer.
    private var patience: Int64 = 2_000_000_000
    private static var perThread: Int64 { 200_000_000 }

    init(own: OwnTrace?) {
        self.own = own
        unsafe trace = .allocate(capacity: 1)
        unsafe trace.initialize(to: csp_trace())
        csp_begin_captures()
    }

    deinit {
        csp_end_captures()
        unsafe trace.deallocate()
    }

    /// Nil when there is no goroutine in this control block.
    mutating func look(at goroutine: GoroutineRef) -> Sighting? {
        var last: Sighting?
        for _ in 0..<20 {
            let glance = Glance(goroutine)
            guard glance.status != GoroutineCell.Status.free.rawValue else { return nil }
            var sighting = unsafe Sighting(
                id: glance.id, waitingSince: Int64(bitPattern: csp_peek_64(&goroutine.pointer.pointee.waitingSince)),
                creatorID: csp_peek_64(&goroutine.pointer.pointee.creatorID),
                creatorAddress: UInt(csp_peek_64(&goroutine.pointer.pointee.creatorAddress)))
            unsafe trace.pointee.count = 0
            unsafe trace.pointee.omitted = 0
            if !glance.hasStack {
                // New, or between two steps of its worker.
                sighting.state = .runnable
                sighting.hasTrace = true
                if glance.status == GoroutineCell.Status.runnable.rawValue, Glance(goroutine) == glance {
                    return sighting
                }
            } else if glance.pc != 0 {
                walk(goroutine, glance)
                sighting.hasTrace = true
                sighting.state = .runnable
                if glance.status == GoroutineCell.Status.waiting.rawValue {
                    sighting.state = .waiting
                    sighting.reason =
                        unsafe WaitReason(
                            rawValue: csp_peek_8(&goroutine.pointer.pointee.waitReason)) ?? .none
                }
                csp_settle_reads()
                if Glance(goroutine) == glance { return sighting }
            } else if ask(goroutine, &sighting) {
                if Glance(goroutine).id == glance.id { return sighting }
            }
            last = sighting
            last?.state = .running
            last?.hasTrace = false
        }
        // It goes on and off its stack faster than we look.
        unsafe trace.pointee.count = 0
        unsafe trace.pointee.omitted = 0
        return last
    }

    private func walk(_ goroutine: GoroutineRef, _ glance: Glance) {
        let kind = Int(glance.stackClass)
        guard kind < StackArena.classes, glance.stackSlot >= 0 else { return }
        let base = SchedulerCore.running.cell.stacks.base(kind, glance.stackSlot)
        unsafe csp_walk_stack(
            glance.pc, UInt(csp_peek_64(&goroutine.pointer.pointee.context.fp)), base + UInt(CSP_GUARD_SIZE),
            base + UInt(1) << UInt(StackArena.smallestShift + kind), trace)
    }

    /// Sees a running goroutine's stack. False when it does not run any more.
    private mutating func ask(_ goroutine: GoroutineRef, _ sighting: inout Sighting) -> Bool {
        if let own, own.goroutine == goroutine {
            unsafe trace.update(from: own.trace, count: 1)
            sighting.hasTrace = true
            return true
        }
        let worker = unsafe WorkerRef(
            UnsafeMutableRawPointer(bitPattern: UInt(csp_peek_64(&goroutine.pointer.pointee.worker))))
        guard let worker else { return false }
        let thread = worker.cell.threadID.load(ordering: .acquiring)
        let limit = min(patience, Self.perThread)
        let result = unsafe csp_capture(thread, UnsafeMutableRawPointer(goroutine.pointer), limit, trace)
        switch result {
        case CSP_CAPTURED: sighting.hasTrace = true
        case CSP_IN_SYSTEM_CALL:
            sighting.hasTrace = true
            sighting.state = .inSystemCall
        case CSP_NO_ANSWER: patience = max(0, patience - limit)
        default: return false
        }
        return true
    }
}

/// What must not change while a stack is looked at.
private struct Glance: Equatable {
    // SAFETY: (whole type) control blocks are immortal, and all that others may be writing is read by `csp_peek`.
    let id: UInt64
    let status: UInt8
    let hasStack: Bool
    let stackClass: UInt8
    let stackSlot: Int32
    let arrivals: UInt32
    let pc: UInt

    init(_ goroutine: GoroutineRef) {
        let cell = unsafe goroutine.pointer
        unsafe arrivals = csp_peek_32(&cell.pointee.arrivals)
        unsafe pc = UInt(csp_peek_64(&cell.pointee.context.pc))
        unsafe id = csp_peek_64(&cell.pointee.id)
        unsafe status = csp_peek_8(&cell.pointee.status)
        unsafe hasStack = csp_peek_8(&cell.pointee.footing) != 0
        unsafe stackClass = csp_peek_8(&cell.pointee.stackClass)
        unsafe stackSlot = Int32(bitPattern: csp_peek_32(&cell.pointee.stackSlot))
    }
}

/// The stack of a goroutine that asks for a dump.
@safe
struct OwnTrace {
    // SAFETY: (whole type) memory of our own, which lives until the dump is made.
    let goroutine: GoroutineRef
    let trace: UnsafeMutablePointer<csp_trace>
}
