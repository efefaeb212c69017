import CCSP

/// What a select can wait for besides channels: each has a lock and a queue of its own, and whoever lets go of it claims the select.
@safe
enum WaitPoint {
    // SAFETY: (whole type) the selecting caller keeps what it waits for; waiters stay on the selecting stack until they are off the list.
    case mutex(MutexRef)
    case semaphore(SemaphoreRef, Int)
    case condition(ConditionArrivalRef)
    case group(Unmanaged<WaitGroup>)
    case lane(PollLaneRef, isTurn: Bool)

    /// Distinct ones, by address.
    static func collect(
        _ entries: UnsafeMutableBufferPointer<_SelectEntry>, into room: UnsafeMutableBufferPointer<WaitPoint>
    ) -> UnsafeMutableBufferPointer<WaitPoint> {
        var count = 0
        for index in entries.indices {
            guard let point = unsafe entries[index].point else { continue }
            unsafe room.initializeElement(at: count, to: point)
            count += 1
        }
        var all = unsafe UnsafeMutableBufferPointer(rebasing: room[..<count])
        unsafe all.sort { unsafe UInt(bitPattern: $0.lock.word) < UInt(bitPattern: $1.lock.word) }
        var distinct = 0
        for index in 0..<count where unsafe index == 0 || all[index].lock != all[distinct - 1].lock {
            unsafe all[distinct] = unsafe all[index]
            distinct += 1
        }
        return unsafe UnsafeMutableBufferPointer(rebasing: all[..<distinct])
    }

    var lock: LockWord {
        switch self {
        case .mutex(let mutex): mutex.queueLock
        case .semaphore(let semaphore, _): semaphore.lock
        case .condition(let arrival): arrival.condition.lock
        case .group(let group): unsafe group._withUnsafeGuaranteedRef { $0.lock }
        case .lane(let lane, _): lane.lock
        }
    }

    func unlock() {
        switch self {
        case .mutex(let mutex):
            mutex.settle()
            mutex.queueLock.unlock()
        case .semaphore(let semaphore, _): semaphore.unlock()
        case .condition(let arrival): arrival.condition.lock.unlock()
        case .group(let group): unsafe group._withUnsafeGuaranteedRef { $0.unlockSettled() }
        case .lane(let lane, _): lane.lock.unlock()
        }
    }

    // All of the following with the lock held.

    /// From now on nobody makes it free without looking at the queue: whoever does so in this moment waits for the lock, and finds
    /// whom we queue.
    func announce() {
        switch self {
        case .mutex(let mutex): mutex.announce()
        case .group(let group): unsafe group._withUnsafeGuaranteedRef { _ = $0.join() }
        case .semaphore, .condition, .lane: break
        }
    }

    /// After `announce`. A mutex may still be taken by somebody else, or become free.
    var isReady: Bool {
        switch self {
        case .mutex(let mutex): mutex.core.word.load(ordering: .acquiring) == 0
        case .semaphore(let semaphore, let count): semaphore.core.waiters.isEmpty && semaphore.core.free >= count
        case .condition(let arrival): arrival.wasSignalled
        case .group(let group): unsafe group._withUnsafeGuaranteedRef { $0.hasNotJoined }
        case .lane(let lane, let isTurn): isTurn ? lane.isFree : lane.mayGoOn
        }
    }

    func append(_ waiter: UnsafeMutablePointer<Waiter>) {
        switch self {
        case .mutex(let mutex):
            unsafe waiter.pointee.since = Clock.now
            unsafe mutex.core.waiters.append(waiter)
        case .semaphore(let semaphore, let count):
            // As in `acquireSlow`: more than there will ever be is in nobody's way.
            if count > semaphore.core.capacity { return }
            unsafe waiter.pointee.demand = count
            unsafe semaphore.core.waiters.append(waiter)
        case .condition(let arrival): unsafe arrival.replace(by: waiter)
        case .group(let group): unsafe group._withUnsafeGuaranteedRef { unsafe $0.append(waiter) }
        case .lane(let lane, let isTurn): unsafe lane.append(waiter, forTurn: isTurn)
        }
    }

    /// Without the lock. Whoever dropped the waiter did so under the lock: with that we know that it is done with it.
    func withdraw(_ waiter: UnsafeMutablePointer<Waiter>) {
        lock.lock()
        switch self {
        case .mutex(let mutex):
            if unsafe waiter.pointee.isQueued { unsafe mutex.core.waiters.remove(waiter) }
            unlock()
        case .semaphore(let semaphore, _):
            // Others may have waited behind it, for less.
            if unsafe waiter.pointee.isQueued { unsafe semaphore.core.waiters.remove(waiter) }
            semaphore.serve()
        case .condition(let arrival):
            if unsafe waiter.pointee.isQueued { unsafe arrival.condition.core.waiters.remove(waiter) }
            unlock()
        case .group(let group):
            unsafe group._withUnsafeGuaranteedRef { unsafe $0.remove(waiter) }
            unlock()
        case .lane(let lane, let isTurn):
            if unsafe waiter.pointee.isQueued { unsafe lane.remove(waiter, forTurn: isTurn) }
            unlock()
        }
    }
}

extension _SelectEntry {
    // SAFETY: (whole type) by its kind, an entry's slot is the core of a mutex or a semaphore, who has come to a condition, a group, or a lane.
    var point: WaitPoint? {
        switch kind {
        case .mutex: unsafe .mutex(MutexRef(slot!.assumingMemoryBound(to: MutexCore.self)))
        case .semaphore:
            unsafe .semaphore(SemaphoreRef(slot!.assumingMemoryBound(to: SemaphoreCore.self)), Int(nanoseconds))
        case .condition:
            unsafe .condition(ConditionArrivalRef(slot!.assumingMemoryBound(to: ConditionArrival.self)))
        case .group: unsafe .group(Unmanaged.fromOpaque(slot!))
        case .lane: unsafe .lane(PollLaneRef(slot!.assumingMemoryBound(to: PollLane.self)), isTurn: nanoseconds != 0)
        case .receive, .send, .after, .byDefault, .never: nil
        }
    }
}
