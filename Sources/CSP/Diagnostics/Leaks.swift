import CCSP

// Goroutines that are leaked for good.
//
// A parked goroutine runs again only if somebody makes it ready, and who does that has got its address: from a wait list, which leads to its control block or,
// where it selects, to its stack; from a heap of timers; or from its own code, which has passed an address of something on its stack to others. So a goroutine lives if it
// runs or can run, or if an address in its control block, or in the part of its stack that is in use, can be found by going from address to address from what lives:
// the stacks and registers of goroutines and threads that run, global variables, thread locals, timers, and all other memory that is not known to be dead.
// What lives may make ready, and pass on, only what it can reach. So the others can never run again: their channels and locks are known only to each other.
// This is what Go 1.27's profile `goroutineleak` rests on (https://go.dev/design/74609-goroutine-leak-detection-gc).
//
// Go asks its collector, which knows each pointer. Here a word is an address if it looks like one, as for a conservative collector, so that one that is
// left over from earlier can hide a leak, but none is reported that is not one. Memory is seen as it was at one moment: all threads are stopped, their registers
// read, and the process copied by fork; the copy is searched, while the program goes on (CCSP/world.c, CCSP/reach.c).
//
// What must not be followed, since it leads to every goroutine: the scheduler's own memory. That is sound, as what it holds is told otherwise: whose turn it is by
// the status, what a timer will do by the heaps, whose locks are held from before the copy is made, so that no timer is between its heap and its goroutine.

extension Goroutine {
    /// Goroutines that can never run again, although the program goes on: what they wait for is known to nobody who could still run.
    ///
    /// ```swift
    /// func firstAnswer() -> Int {
    ///     let answers = Channel<Int>()
    ///     for server in servers { go { answers <- server.ask() } }
    ///     return (<-answers)!  // The others wait for ever. A capacity of servers.count would let them end.
    /// }
    /// ```
    /// Only what is certain is reported: as long as anything that looks like an address of it is left over in the memory of what lives, a goroutine does not count.
    /// So some may be missing, and what is found today may not have been yesterday. To find those of one test exactly, there is `expectNoLeakedGoroutines` in CSPTesting.
    /// Go 1.27 has this as the profile `goroutineleak`.
    ///
    /// Not seen are addresses that are kept in another form than as an aligned word, such as differences or packed structs, and those that only the kernel has,
    /// such as what `epoll_ctl` was given: code that parks a goroutine and keeps it in such a place alone would be reported wrongly. This library, Swift and
    /// Foundation do not.
    ///
    /// Blocks the calling goroutine or thread. All threads are stopped for the time of a fork; the rest, in proportion to the memory in use, happens in the copy.
    /// System calls such as `epoll_wait` that are interrupted meanwhile may return EINTR, as after a debugger's stop.
    ///
    /// - Returns: The goroutines, those with the lowest ids first. Empty also when the search was not possible, in a program that is traced or built with a sanitizer, say: then
    ///   `obstacle` tells why.
    @available(*, noasync)
    @inline(never)
    public static func leaks() -> GoroutineLeaks {
        // A sanitizer's allocator keeps everything where we cannot tell what is free.
        if csp_has_fibers {
            return GoroutineLeaks([], obstacle: "a program that is built with a sanitizer cannot be searched")
        }
        // What earlier calls have left, and the search's own calls would not overwrite.
        csp_scrub_stack()
        return blocking { LeakSearch.run() }
    }
}

/// What `Goroutine.leaks()` has found. Prints as a dump of them does.
public struct GoroutineLeaks: RandomAccessCollection, CustomStringConvertible, Sendable {
    private let found: [LeakedGoroutine]
    /// Why nothing could be found out; nil if the search has come to its end.
    public let obstacle: String?

    init(_ found: [LeakedGoroutine], obstacle: String?) {
        self.found = found
        self.obstacle = obstacle
    }

    /// See `Collection`.
    public var startIndex: Int { 0 }
    /// See `Collection`.
    public var endIndex: Int { found.count }
    /// See `Collection`.
    public subscript(index: Int) -> LeakedGoroutine { found[index] }

    /// Each one's id, name, wait reason, stack and creator, as `Goroutine.dump` shows them; a line if there are none.
    public var description: String {
        if let obstacle { return "no search for leaked goroutines: \(obstacle)" }
        if isEmpty { return "no leaked goroutines" }
        let ids = Set(found.map(\.id))
        // SAFETY: control blocks are immortal.
        return Dump.text { unsafe ids.contains(csp_peek_64(&$0.pointer.pointee.id)) }
    }
}

/// A goroutine that can never run again.
public struct LeakedGoroutine: Sendable, Identifiable {
    /// As `Goroutine.id`.
    public let id: UInt64
    /// The name given to `go`, or nil.
    public let name: String?
    /// What it waits for, in a dump's words: "chan receive", say.
    public let waitReason: String
    /// For how long it had waited when it was found; coarsely.
    public let waiting: Duration
    /// The goroutine that started it; nil for a thread or a task.
    public let creatorID: UInt64?
}

/// One search; see above.
private enum LeakSearch {
    // SAFETY: (whole type) control blocks and processors are immortal; the search is this call's own.
    static func run() -> GoroutineLeaks {
        let core = unsafe SchedulerCore.shared
        core.cell.dumpLock.lock()
        defer { core.cell.dumpLock.unlock() }
        guard let search = unsafe copy(core) else { return GoroutineLeaks([], obstacle: "out of memory") }
        defer { unsafe csp_search_end(search) }
        var found: UnsafePointer<UnsafeMutableRawPointer?>?
        var count = 0
        var error: Int32 = 0
        let outcome = unsafe csp_search_answer(search, &error, &found, &count)
        guard outcome == CSP_SEARCH_DONE else { return GoroutineLeaks([], obstacle: describe(outcome, error)) }
        var leaks = unsafe describe(UnsafeBufferPointer(start: found, count: count))
        leaks.sort { $0.id < $1.id }
        // No address of a goroutine may be left over for the next search.
        csp_scrub_stack()
        return GoroutineLeaks(leaks, obstacle: nil)
    }

    @inline(never)
    private static func describe(_ found: UnsafeBufferPointer<UnsafeMutableRawPointer?>) -> [LeakedGoroutine] {
        let now = csp_now()
        return found.indices.map { unsafe GoroutineRef(found[$0])!.asLeaked(at: now) }
    }

    /// Copies the process for a search that knows all control blocks and all heaps of timers. Nil when there is no memory.
    @inline(never)
    private static func copy(_ core: SchedulerCore) -> OpaquePointer? {
        while true {
            let heaps = core.heaps
            // Some more, lest it be all in vain when goroutines are started meanwhile.
            let blocks = core.cell.registry.chunkCount * 9 / 8 + 64
            let search = unsafe csp_search_make(
                { cell, facts in unsafe GoroutineRef(cell)!.describe(in: facts!) }, blocks,
                SchedulerCore.goroutinesPerChunk,
                heaps.count, heaps.count * 2 + 3)
            guard let search = unsafe search else { return nil }
            if unsafe copy(search, core, heaps) { return unsafe search }
            unsafe csp_search_end(search)
        }
    }

    /// With locks held, so that no timer is between its heap and its goroutine, and none of the arrays that are hidden, which hold all goroutines, is
    /// replaced. False when there is more by now than was made room for.
    @inline(never)
    private static func copy(_ search: OpaquePointer, _ core: SchedulerCore, _ heaps: [ProcessorRef]) -> Bool {
        for heap in heaps {
            heap.cell.timers.lock.lock()
            unsafe csp_search_hide(search, heap.pointer, MemoryLayout<ProcessorCell>.size)
            let entries = unsafe heap.cell.timers.memory
            unsafe csp_search_add_root(search, entries.baseAddress, entries.count)
            unsafe csp_search_hide(search, entries.baseAddress, entries.count)
        }
        defer { for heap in heaps { heap.cell.timers.lock.unlock() } }
        core.cell.idleLock.lock()
        defer { core.cell.idleLock.unlock() }
        guard core.heapsNow == heaps.count else { return false }
        return unsafe core.cell.global.withMemory { queue in
            core.cell.freeLock.lock()
            defer { core.cell.freeLock.unlock() }
            guard unsafe addBlocks(to: search, core) else { return false }
            let free = unsafe core.cell.freeGoroutines.memory
            unsafe csp_search_hide(search, core.pointer, MemoryLayout<SchedulerCell>.size)
            unsafe csp_search_hide(search, queue.baseAddress, queue.count)
            unsafe csp_search_hide(search, free.baseAddress, free.count)
            csp_scrub_stack()
            unsafe csp_search_copy(search)
            return true
        }
    }

    /// In a function of its own, so that no address of a goroutine is on what is then searched.
    @inline(never)
    private static func addBlocks(to search: OpaquePointer, _ core: SchedulerCore) -> Bool {
        var hasRoom = true
        unsafe core.cell.registry.forEachChunk { hasRoom = unsafe csp_search_add_block(search, $0, $1, $2) && hasRoom }
        return hasRoom
    }

    private static func describe(_ outcome: csp_search_outcome, _ error: Int32) -> String {
        let reason =
            switch outcome {
            case CSP_SEARCH_REFUSED:
                "the threads cannot be stopped: a debugger traces them, or the system forbids ptrace (seccomp, Yama, not dumpable)"
            case CSP_SEARCH_NO_REGISTERS: "the threads' registers cannot be read"
            case CSP_SEARCH_NO_PROC: "the threads cannot be listed; is /proc mounted?"
            case CSP_SEARCH_NO_COPY: "the process cannot be copied; see ulimit -u and vm.overcommit_memory"
            case CSP_SEARCH_TOO_MANY_THREADS: "too many threads were started meanwhile"
            default: "the copy of the process has ended before it was searched; is there memory enough?"
            }
        return error == 0 ? reason : "\(reason) (errno \(error))"
    }
}

extension SchedulerCore {
    /// Guarded by idleLock: how many heaps of timers there are.
    fileprivate var heapsNow: Int { cell.processorCount.load(ordering: .relaxed) + cell.heapCount }

    /// Every processor, those of bubbles included: each has one.
    fileprivate var heaps: [ProcessorRef] {
        cell.idleLock.lock()
        defer { cell.idleLock.unlock() }
        return (0..<cell.processorCount.load(ordering: .relaxed)).map(processor)
            + (0..<cell.heapCount).map { processor(SchedulerCell.mostProcessors + $0) }
    }
}

extension GoroutineRef {
    // SAFETY: (whole type) in the copy of the process nothing changes any more; control blocks are immortal.
    /// In the copy: neither allocates nor locks.
    fileprivate func describe(in facts: UnsafeMutablePointer<csp_goroutine_facts>) {
        guard cell.status != .free else { return }
        unsafe facts.pointee.state = cell.status == .waiting ? CSP_GOROUTINE_WAITS : CSP_GOROUTINE_LIVES
        let block = UInt(bitPattern: unsafe pointer), size = UInt(MemoryLayout<GoroutineCell>.size)
        let waiter = unsafe UInt(bitPattern: withUnsafePointer(to: &pointer.pointee.waiter) { unsafe $0 }) - block
        let rest = waiter + UInt(MemoryLayout<Waiter>.size)
        unsafe facts.pointee.waiter = block + waiter
        // Of one that does not wait its neighbours in some wait list are of the past.
        unsafe facts.pointee.block = (block, block + (cell.status == .waiting ? waiter : rest))
        unsafe facts.pointee.block_size = (Int(waiter), Int(size - (cell.status == .waiting ? waiter : rest)))
        guard cell.footing != .none, cell.stackSlot >= 0 else { return }
        let kind = Int(cell.stackClass)
        let base = SchedulerCore.running.cell.stacks.base(kind, cell.stackSlot)
        unsafe facts.pointee.stack_low = base + UInt(CSP_GUARD_SIZE)
        unsafe facts.pointee.stack_high = base + UInt(1) << UInt(StackArena.smallestShift + kind)
        if unsafe cell.context.pc != nil {
            unsafe facts.pointee.sp = UInt(bitPattern: cell.context.sp)
        } else {
            unsafe facts.pointee.state = CSP_GOROUTINE_LIVES
        }
    }

    fileprivate func asLeaked(at now: Int64) -> LeakedGoroutine {
        nameLock.lock()
        let name = cell.name
        nameLock.unlock()
        return LeakedGoroutine(
            id: cell.id, name: name, waitReason: cell.waitReason.description,
            waiting: .nanoseconds(max(0, now - cell.waitingSince)),
            creatorID: cell.creatorID == 0 ? nil : cell.creatorID)
    }
}
