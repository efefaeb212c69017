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
        heap?.lock()
        for index in unsafe channels.indices { unsafe channels[index].lock() }
        for index in unsafe points.indices { unsafe points[index].lock.lock() }
    }

    /// For the race detector.
    func forEach(_ body: (LockWord) -> Void) {
        for index in unsafe points.indices { unsafe body(points[index].lock) }
        for index in unsafe channels.indices { unsafe body(channels[index].lockWord) }
        if let heap { body(heap) }
    }

    /// Reads nothing of its memory after the last lock is released.
    func unlockAll(except kept: ChannelRef? = nil, and keptPoint: LockWord? = nil) {
        let heap = heap
        let channels = unsafe channels
        let points = unsafe points
        for index in 0..<points.count where unsafe points[index].lock != keptPoint { unsafe points[index].unlock() }
        // The heap last: it is in this struct, and a timer may complete the select only then.
        for index in 0..<channels.count where unsafe channels[index] != kept { unsafe channels[index].unlock() }
        heap?.unlock()
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
    var after: Int?
    var byDefault: Int?
    var pointCount = 0
    // SAFETY: (whole function) the entries and the waiters are this stack's, and stay until the select is over.
    for index in entries.indices {
        switch unsafe entries[index].kind {
        case .after:
            // Of several, the one that is due first; the earlier one on a tie.
            if let other = after, unsafe entries[other].nanoseconds <= entries[index].nanoseconds { continue }
            after = index
        case .byDefault: byDefault = byDefault ?? index
        case .mutex, .semaphore, .condition: pointCount += 1
        case .receive, .send, .never: break
        }
    }
    // SAFETY: as above.
    if pointCount == 0 {
        return unsafe _selectBlocking(
            entries, after, byDefault, points: UnsafeMutableBufferPointer(start: nil, count: 0), isPrioritized)
    }
    // SAFETY: as above; `points` outlive the wait.
    return unsafe withUnsafeTemporaryAllocation(of: WaitPoint.self, capacity: pointCount) { points in
        let distinct = unsafe WaitPoint.collect(entries, into: points)
        return unsafe _selectBlocking(entries, after, byDefault, points: distinct, isPrioritized)
    }
}

@inline(__always)
private func _selectBlocking(
    _ entries: UnsafeMutableBufferPointer<_SelectEntry>, _ after: Int?, _ byDefault: Int?,
    points: UnsafeMutableBufferPointer<WaitPoint>, _ isPrioritized: Bool
) -> SelectOutcome {
    let processor = ProcessorRef.forTimers()
    // SAFETY: the entries and what they point to stay on the selecting stack until the select returns.
    return unsafe withUnsafeTemporaryAllocation(of: ChannelRef.self, capacity: entries.count) { room in
        let locks = unsafe SelectLocks(
            entries, room, heap: after == nil ? nil : processor.cell.timers.lock.handle, points: points)
        locks.lockAll()
        for index in points.indices { unsafe points[index].announce() }
        if let chosen = unsafe chooseReady(entries, isPrioritized) {
            unsafe locks.unlockAll(except: entries[chosen].channel, and: entries[chosen].point?.lock)
            return SelectOutcome(place: chosen, isDone: false)
        }
        if let byDefault {
            locks.unlockAll()
            return SelectOutcome(place: byDefault, isDone: true)
        }
        let wait = unsafe SelectWait(entries: entries, after: after, processor: processor)
        return SelectOutcome(place: wait.run(releasing: locks), isDone: true)
    }
}

/// One of the ready cases, uniformly, or the first; all locks are held.
private func chooseReady(_ entries: UnsafeMutableBufferPointer<_SelectEntry>, _ isPrioritized: Bool) -> Int? {
    var chosen: Int?
    var ready = 0
    // SAFETY: the channels and the other wait points are locked.
    for index in entries.indices {
        if let channel = unsafe entries[index].channel {
            guard unsafe entries[index].kind == .receive ? channel.canReceive : channel.canSend else { continue }
        } else {
            guard let point = unsafe entries[index].point, point.isReady else { continue }
        }
        if isPrioritized { return index }
        ready += 1
        // The k-th replaces the choice with probability 1/k: each is as likely in the end.
        if ready == 1 || randomNumber(below: ready) == 0 { chosen = index }
    }
    return chosen
}

/// The wait of a select, from queueing to withdrawal.
@safe
private struct SelectWait {
    // SAFETY: (whole type) the entries and what they point to stay on the selecting stack until the select returns.
    let entries: UnsafeMutableBufferPointer<_SelectEntry>
    let after: Int?
    let processor: ProcessorRef

    /// What a timer needs to complete the select.
    @safe
    private struct Alarm: ~Copyable {
        let selection: UnsafeMutablePointer<Selection>
        let index: Int
        let party: Party
    }

    /// With all locks held. Returns the winner's place.
    func run(releasing locks: SelectLocks) -> Int {
        let party = Party.caller()
        var selection = Selection()
        // SAFETY: (whole function) all of it is this stack's, and off every list and heap before it goes.
        return unsafe withUnsafeMutablePointer(to: &selection) { selection in
            unsafe withUnsafeTemporaryAllocation(of: Waiter.self, capacity: entries.count) { waiters in
                let deadline = after.map { unsafe Clock.deadline(after: entries[$0].nanoseconds) } ?? .max
                var alarm = unsafe Alarm(selection: selection, index: after ?? 0, party: party)
                return unsafe withUnsafeMutablePointer(to: &alarm) { alarm in
                    var node = unsafe TimerNode(object: alarm) { raw in
                        let alarm = unsafe raw.assumingMemoryBound(to: Alarm.self)
                        if unsafe alarm.pointee.selection.pointee.claim(Int32(alarm.pointee.index)) {
                            let party = unsafe alarm.pointee.party
                            party.ready()
                        }
                        return 0
                    }
                    return unsafe withUnsafeMutablePointer(to: &node) { node in
                        unsafe enqueue(waiters, party, selection)
                        if after != nil { unsafe TimerNode.armLocked(node, at: deadline, on: processor) }
                        block(party, locks, deadline)
                        let winner = unsafe selection.pointee.winner.load(ordering: .acquiring)
                        if after != nil { _ = unsafe TimerNode.disarm(node) }
                        unsafe withdraw(waiters, except: winner)
                        if unsafe entries[winner].kind == .send, unsafe !waiters[winner].succeeded {
                            fatalSendOnClosed()
                        }
                        return winner
                    }
                }
            }
        }
    }

    private func block(_ party: Party, _ locks: SelectLocks, _ deadline: Int64) {
        if case .thread(let thread) = party {
            locks.unlockAll()
            if after != nil { SchedulerCore.timerSubmitted(deadline) }
            thread.wait()
        } else {
            let isHopeless = unsafe after == nil && entries.allSatisfy { $0.kind == .never }
            unsafe withUnsafePointer(to: locks) { locks in
                unsafe party.block(isHopeless ? .selectNoCases : .select, .unlockAll(locks))
            }
        }
    }

    private func enqueue(
        _ waiters: UnsafeMutableBufferPointer<Waiter>, _ party: Party, _ selection: UnsafeMutablePointer<Selection>
    ) {
        for index in unsafe entries.indices {
            // SAFETY: the channels are locked.
            let waiter = unsafe waiters.baseAddress! + index
            unsafe waiter.initialize(to: Waiter(party: party))
            unsafe waiter.pointee.selection = unsafe selection
            unsafe waiter.pointee.caseIndex = Int32(truncatingIfNeeded: index)
            unsafe waiter.pointee.slot = entries[index].slot
            if let channel = unsafe entries[index].channel {
                unsafe channel.enqueue(waiter, entries[index].kind == .send ? .send : .receive)
            } else if let point = unsafe entries[index].point {
                unsafe point.append(waiter)
            }
        }
    }

    /// Whoever dropped a waiter of ours did so under its channel's lock: with that lock we know that it is done with it.
    private func withdraw(_ waiters: UnsafeMutableBufferPointer<Waiter>, except winner: Int) {
        for index in unsafe entries.indices where index != winner {
            let waiter = unsafe waiters.baseAddress! + index
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
func randomNumber(below bound: Int) -> Int { Int(csp_random().multipliedFullWidth(by: UInt64(bound)).high) }
