import CCSP
import Synchronization

// Select once no case was ready at first sight: all locks at once, then choose, fall back to the default, or wait.
//
// Locks: the heap of this processor's timers first, if a case is `After`; then each channel once, by address; then each other wait point.
// While they are held no channel or semaphore can become ready, whoever unlocks a mutex must wait for its queue, no timer fires, and the waiters are queued on all channels; so whoever later completes
// one of them finds a Selection that is complete, and the first to claim it wins.

/// The locks of one select. Lives on the selecting stack.
@usableFromInline
@safe
struct SelectLocks {
    /// Distinct, by address.
    private let channels: UnsafeMutableBufferPointer<ChannelRef>
    private let heap: LockWord?
    /// Distinct, by address.
    private let points: UnsafeMutableBufferPointer<WaitPoint>

    // SAFETY: (whole type) the array is the selecting stack's. The goroutine can run again, and its stack be gone, as soon as the last lock is free:
    // until then it cannot withdraw its other waiters.
    init(
        _ entries: UnsafeMutableBufferPointer<_SelectEntry>, _ room: UnsafeMutableBufferPointer<ChannelRef>,
        heap: LockWord?, points: UnsafeMutableBufferPointer<WaitPoint>
    ) {
        var count = 0
        for index in entries.indices {
            guard let channel = unsafe entries[index].channel else { continue }
            unsafe room.initializeElement(at: count, to: channel)
            count += 1
        }
        var all = unsafe UnsafeMutableBufferPointer(rebasing: room[..<count])
        unsafe all.sort { unsafe $0.pointer < $1.pointer }
        var distinct = 0
        for index in 0..<count where unsafe index == 0 || all[index] != all[distinct - 1] {
            unsafe all[distinct] = unsafe all[index]
            distinct += 1
        }
        unsafe channels = unsafe UnsafeMutableBufferPointer(rebasing: all[..<distinct])
        self.heap = heap
        unsafe self.points = unsafe points
    }

    func lockAll() {
        if let heap { RaceDetector.ignoring(heap.lock) }
        for index in unsafe channels.indices { unsafe channels[index].lock() }
        for index in unsafe points.indices {
            unsafe points[index].lock.lock()
            unsafe points[index].announce()
        }
    }

    /// For the race detector, which knows nothing of the heap's.
    func forEach(_ body: (LockWord) -> Void) {
        for index in unsafe points.indices { unsafe body(points[index].lock) }
        for index in unsafe channels.indices { unsafe body(channels[index].lockWord) }
    }

    /// Reads nothing of its memory after the last lock is released.
    func unlockAll(except kept: ChannelRef? = nil, and keptPoint: LockWord? = nil) {
        let heap = heap
        let channels = unsafe channels
        let points = unsafe points
        for index in 0..<points.count where unsafe points[index].lock != keptPoint { unsafe points[index].unlock() }
        // The heap last: it is in this struct, and a timer may complete the select only then.
        for index in 0..<channels.count where unsafe channels[index] != kept { unsafe channels[index].unlock() }
        if let heap { RaceDetector.ignoring { heap.unlock() } }
    }
}

/// What `_selectBlocking` has come to: a case that is completed, or one that is ready, with its channel's lock held. The caller,
/// who knows the type of the element, tries to complete that one and else begins again: there were only waiters of selects that were
/// over, and they are gone now.
@usableFromInline
@frozen
struct SelectOutcome {
    @usableFromInline let place: Int
    @usableFromInline let isDone: Bool
}

/// Waits until one of the cases is completed or ready; `isPrioritized`: of several that are ready, the first.
@usableFromInline @inline(never)
func _selectBlocking(
    _ entries: UnsafeMutableBufferPointer<_SelectEntry>, isPrioritized: Bool
) -> SelectOutcome {
    // SAFETY: the entries and what they point to stay on the selecting stack until the select returns.
    unsafe withLocks(of: entries) { locks, special, processor in
        if let chosen = unsafe locks.chooseReady(entries, isPrioritized) {
            return SelectOutcome(place: chosen, isDone: false)
        }
        if special.byDefault >= 0 {
            locks.unlockAll()
            return SelectOutcome(place: special.byDefault, isDone: true)
        }
        return unsafe withUnsafeTemporaryAllocation(of: Waiter.self, capacity: entries.count) { waiters in
            unsafe withUnsafeTemporaryAllocation(of: SelectWait.self, capacity: 1) { room in
                let wait = unsafe SelectWaitRef(room.baseAddress!)
                unsafe wait.initialize(entries, waiters.baseAddress!, special, .caller())
                wait.queue(processor)
                wait.block(releasing: locks)
                return SelectOutcome(place: wait.end(), isDone: true)
            }
        }
    }
}

/// The places of cases that are no channels and no locks, or -1.
struct SpecialCases {
    /// Of several, the one that is due first; the earlier one on a tie.
    var after = -1
    var byDefault = -1
}

/// Takes all locks, for which `after` must not be missed by the processor's timers, and runs `body`, which lets go of them.
@inline(__always)
func withLocks(
    of entries: UnsafeMutableBufferPointer<_SelectEntry>,
    _ body: (SelectLocks, SpecialCases, ProcessorRef) -> SelectOutcome
) -> SelectOutcome {
    var special = SpecialCases()
    var pointCount = 0
    // SAFETY: the caller keeps the entries and what they point to.
    for index in entries.indices {
        switch unsafe entries[index].kind {
        case .after:
            if special.after >= 0, unsafe entries[special.after].nanoseconds <= entries[index].nanoseconds { continue }
            special.after = index
        case .byDefault: if special.byDefault < 0 { special.byDefault = index }
        case .mutex, .semaphore, .condition, .group, .lane: pointCount += 1
        case .receive, .send, .never: break
        }
    }
    let processor = ProcessorRef.forTimers()
    let heap = special.after < 0 ? nil : processor.cell.timers.lock.handle
    // SAFETY: as above; the rooms outlive the locks.
    if pointCount == 0 {
        return unsafe withUnsafeTemporaryAllocation(of: ChannelRef.self, capacity: entries.count) { room in
            let locks = unsafe SelectLocks(
                entries, room, heap: heap, points: UnsafeMutableBufferPointer(start: nil, count: 0))
            locks.lockAll()
            return body(locks, special, processor)
        }
    }
    // SAFETY: as above.
    return unsafe withUnsafeTemporaryAllocation(of: ChannelRef.self, capacity: entries.count) { room in
        unsafe withUnsafeTemporaryAllocation(of: WaitPoint.self, capacity: pointCount) { points in
            let locks = unsafe SelectLocks(
                entries, room, heap: heap, points: WaitPoint.collect(entries, into: points))
            locks.lockAll()
            return body(locks, special, processor)
        }
    }
}

extension SelectLocks {
    /// One of the ready cases, uniformly, or the first. With all locks held: keeps that of the case that it returns.
    func chooseReady(_ entries: UnsafeMutableBufferPointer<_SelectEntry>, _ isPrioritized: Bool) -> Int? {
        var chosen: Int?
        var ready = 0
        // SAFETY: the channels and the other wait points are locked.
        for index in entries.indices {
            if let channel = unsafe entries[index].channel {
                guard unsafe entries[index].kind == .receive ? channel.canReceive : channel.canSend else { continue }
            } else {
                guard let point = unsafe entries[index].point, point.isReady else { continue }
            }
            ready += 1
            // The k-th replaces the choice with probability 1/k: each is as likely in the end.
            if ready == 1 || randomNumber(below: ready) == 0 { chosen = index }
            if isPrioritized { break }
        }
        guard let chosen else { return nil }
        unlockAll(except: unsafe entries[chosen].channel, and: unsafe entries[chosen].point?.lock)
        return chosen
    }
}

/// The wait of a select, from queueing to its end. Stays in its place, which the waiters and the timers know.
@safe
struct SelectWait: ~Copyable {
    // SAFETY: (whole type) whoever selects keeps it, the entries and the waiters until the select is over.
    fileprivate let entries: UnsafeMutableBufferPointer<_SelectEntry>
    fileprivate let waiters: UnsafeMutablePointer<Waiter>
    let party: Party
    /// The place of the case that is due first, or -1, and when that is.
    fileprivate let after: Int
    fileprivate let deadline: Int64
    let selection = Selection()
    fileprivate var node: TimerNode
}

/// A wait by reference.
@safe
struct SelectWaitRef {
    // SAFETY: (whole type) whoever selects keeps the wait until the select is over; the waiters are off every list and the node is off its heap then.
    private let pointer: UnsafeMutablePointer<SelectWait>

    init(_ pointer: UnsafeMutablePointer<SelectWait>) { unsafe self.pointer = unsafe pointer }

    private var cell: SelectWait {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    var selection: UnsafeMutablePointer<Selection> {
        unsafe withUnsafePointer(to: pointer.pointee.selection) { unsafe UnsafeMutablePointer(mutating: $0) }
    }
    /// When the first case is due that waits for a time.
    var deadline: Int64 { cell.deadline }
    private var node: UnsafeMutablePointer<TimerNode> {
        unsafe withUnsafeMutablePointer(to: &pointer.pointee.node) { unsafe $0 }
    }

    @inline(__always)
    func initialize(
        _ entries: UnsafeMutableBufferPointer<_SelectEntry>, _ waiters: UnsafeMutablePointer<Waiter>,
        _ special: SpecialCases, _ party: Party
    ) {
        let after = special.after
        let deadline = after < 0 ? .max : Clock.deadline(after: unsafe entries[after].nanoseconds)
        let node = unsafe TimerNode(object: pointer) { raw, _ in
            let wait = unsafe SelectWaitRef(raw.assumingMemoryBound(to: SelectWait.self))
            let place = wait.cell.after, party = wait.cell.party
            if unsafe wait.selection.pointee.claim(Int32(place)) { party.ready() }
            return 0
        }
        unsafe pointer.initialize(
            to: SelectWait(
                entries: entries, waiters: waiters, party: party, after: after, deadline: deadline, node: node))
    }

    /// With all locks held.
    @inline(__always)
    func queue(_ processor: ProcessorRef) {
        let entries = unsafe cell.entries
        for index in entries.indices {
            // SAFETY: the channels are locked.
            let waiter = unsafe cell.waiters + index
            unsafe waiter.initialize(to: Waiter(party: cell.party))
            unsafe waiter.pointee.selection = unsafe selection
            unsafe waiter.pointee.caseIndex = Int32(truncatingIfNeeded: index)
            unsafe waiter.pointee.slot = entries[index].slot
            if let channel = unsafe entries[index].channel {
                channel.core.hasSelects = true
                unsafe channel.enqueue(waiter, entries[index].kind == .send ? .send : .receive)
            } else if let point = unsafe entries[index].point {
                unsafe point.append(waiter)
            }
        }
        if cell.after >= 0 {
            RaceDetector.ignoring { unsafe TimerNode.armLocked(node, at: cell.deadline, on: processor) }
        }
    }

    /// Goroutines and threads: until somebody has claimed the selection.
    func block(releasing locks: SelectLocks) {
        if case .thread(let thread) = cell.party {
            locks.unlockAll()
            if cell.after >= 0 { SchedulerCore.timerSubmitted(cell.deadline) }
            thread.wait()
        } else {
            unsafe withUnsafePointer(to: locks) { locks in unsafe cell.party.block(waitReason, .unlockAll(locks)) }
        }
    }

    /// A wait for a descriptor is a select only where a context may end it.
    private var waitReason: WaitReason {
        let entries = unsafe cell.entries
        if let first = unsafe entries.first, first.kind == .lane { return first.nanoseconds == 0 ? .ioWait : .ioTurn }
        return unsafe cell.after < 0 && entries.allSatisfy { $0.kind == .never } ? .selectNoCases : .select
    }

    /// When somebody has claimed the selection: withdraws the others, and returns what was claimed. Traps when that is a send on a channel that
    /// was closed instead.
    func end() -> Int {
        let winner = unsafe selection.pointee.winner.load(ordering: .acquiring)
        if cell.after >= 0 { _ = unsafe TimerNode.disarm(node) }
        withdraw(except: winner)
        if RaceDetector.isOn, winner >= 0, let channel = unsafe cell.entries[winner].channel {
            RaceDetector.hasWaited(for: channel)
        }
        if winner >= 0, unsafe cell.entries[winner].kind == .send, unsafe !cell.waiters[winner].succeeded {
            fatalSendOnClosed()
        }
        return winner
    }

    /// Whoever dropped a waiter of ours did so under its channel's lock: with that lock we know that it is done with it.
    private func withdraw(except winner: Int) {
        let entries = unsafe cell.entries
        for index in entries.indices where index != winner {
            let waiter = unsafe cell.waiters + index
            guard let channel = unsafe entries[index].channel else {
                unsafe entries[index].point?.withdraw(waiter)
                continue
            }
            channel.lock()
            // SAFETY: under the lock.
            if unsafe waiter.pointee.isQueued {
                if unsafe entries[index].kind == .send {
                    unsafe channel.core.senders.remove(waiter)
                } else {
                    unsafe channel.core.receivers.remove(waiter)
                }
            }
            channel.unlock()
        }
    }
}

extension ChannelRef {
    // With the lock held; a waiter may turn out to be a select's that is over.
    fileprivate var canReceive: Bool { core.count > 0 || !core.senders.isEmpty || core.isClosed }
    fileprivate var canSend: Bool { core.count < core.capacity || !core.receivers.isEmpty || core.isClosed }
}

/// Uniform in 0..<bound.
func randomNumber(below bound: Int) -> Int { Int(randomBits().multipliedFullWidth(by: UInt64(bound)).high) }
