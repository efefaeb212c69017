import CCSP
import Synchronization

// Processors that change hands because their goroutine blocks its thread or computes for long: given up by the goroutine itself (`blocking`,
// a locked thread that waits), or taken away by the monitor. Either way the goroutine goes on without a processor, and its worker has
// one again at the next scheduling point, since a goroutine that leaves its stack leaves it to a worker that looks for work.

/// Runs `body`, which is known to block its thread for long, or to compute, and lets other goroutines have this one's processor meanwhile.
///
/// Without it they wait until the monitor sees that the thread blocks, from 20 µs to some milliseconds, or computes, 10 ms. On a plain thread it just runs
/// `body`.
///
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
/// - Complexity: Two locks; a thread is woken or started (45 µs) only when something waits for the processor.
@available(*, noasync)
public func blocking<T: ~Copyable, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    guard let goroutine = GoroutineRef.current else { return try body() }
    RaceDetector.ignoring { goroutine.cell.worker!.giveUpProcessor() }
    defer { goroutine.comeBack() }
    return try body()
}

extension GoroutineRef {
    /// After blocking: goes on with any idle processor, or else when its turn comes.
    @inline(never)
    fileprivate func comeBack() {
        if !RaceDetector.ignoring({ cell.worker!.regainProcessor() }) { giveWay() }
    }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// In a goroutine: from now on it runs without a processor.
    @inline(never)
    fileprivate func giveUpProcessor() {
        defer { exit() }
        guard let processor = enter() else { return }
        let core = SchedulerCore.running
        noteHandOff(of: processor)
        core.cell.idleLock.lock()
        cell.processor = nil
        let next = core.release(processor)
        core.cell.idleLock.unlock()
        core.follow(next)
    }

    /// In a goroutine: true if it has a processor, or takes an idle one.
    @inline(never)
    func regainProcessor() -> Bool {
        defer { exit() }
        if enter() != nil { return true }
        let core = SchedulerCore.running
        guard core.cell.idleProcessors.load(ordering: .relaxed) > 0 else { return false }
        core.cell.idleLock.lock()
        defer { core.cell.idleLock.unlock() }
        guard takeBack() else { return false }
        noteRegain()
        return true
    }
}

/// What is to be done, without locks, for a processor that was released.
enum Release {
    case nothing
    /// Somebody must look for work, or watch the clock.
    case wake
    /// This worker, or a new one, goes on with the processor.
    case start(WorkerRef?, ProcessorRef)
}

extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Guarded by idleLock: finds a use for a processor whose worker goes on without it.
    func release(_ processor: ProcessorRef) -> Release {
        processor.cell.worker = nil
        if processor.cell.isRetired.load(ordering: .relaxed) {
            processor.surrender()
            processor.cell.hasWorker = false
        } else if !processor.isEmpty {
            return .start(assign(processor), processor)
        } else {
            makeIdle(processor)
        }
        // As a worker that goes to sleep: see Idle.swift. It also looks whether anybody sleeps until the next deadline.
        cell.awake.subtract(1, ordering: .sequentiallyConsistent)
        let isWanted = cell.global.count.load(ordering: .sequentiallyConsistent) > 0
        return isWanted || earliestDeadline() < cell.watchedDeadline || isPollerForsaken ? .wake : .nothing
    }

    func follow(_ release: Release) {
        switch release {
        case .nothing: break
        case .wake: wakeWorker()
        case .start(let worker, let processor): start(worker, with: processor)
        }
    }

    /// For the monitor: takes a processor from a worker whose goroutine computes or blocks, under the caller's claim, which ends.
    func handOn(_ processor: ProcessorRef, of worker: WorkerRef) {
        worker.noteHandOff(of: processor)
        cell.idleLock.lock()
        worker.cell.processor = nil
        let next = release(processor)
        cell.idleLock.unlock()
        worker.endClaim()
        follow(next)
    }
}
