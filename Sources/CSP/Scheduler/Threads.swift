import CCSP
import Synchronization

// The workers' threads: how they start, how many there may be, and how those that nobody needs end.
extension SchedulerCore {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// How long a sleeping worker in excess of the processors keeps its thread.
    static let patience: Int64 = 5_000_000_000

    /// Without locks: sets a worker going that `assign` has found, or a new one if it has found none.
    func start(_ worker: WorkerRef?, with processor: ProcessorRef) {
        noteWakeUp(of: processor, worker)
        if let worker { worker.wake() } else { startWorker(with: processor) }
    }

    /// Guarded by idleLock.
    private func takeRetired() -> WorkerRef? {
        guard let worker = cell.retired else { return nil }
        cell.retired = worker.cell.nextIdle
        worker.cell.nextIdle = nil
        return worker
    }

    /// Guarded by idleLock.
    private func makeWorker() -> WorkerRef {
        cell.workersMade += 1
        let pointer = UnsafeMutablePointer<WorkerCell>.allocate(capacity: 1)
        unsafe pointer.initialize(to: WorkerCell(number: cell.workersMade))
        return unsafe WorkerRef(pointer: pointer)
    }

    private func startWorker(with processor: ProcessorRef) {
        cell.idleLock.lock()
        let count = cell.workers, most = cell.maxThreads
        let worker = takeRetired() ?? makeWorker()
        worker.own(processor)
        cell.idleLock.unlock()
        if count > most {
            fatal(
                "fatal error: thread exhaustion: the program exceeds the limit of \(most) threads; each goroutine that blocks in a "
                    + "system call or computes for long holds one. Set Scheduler.maxThreads or CSP_MAXTHREADS to allow more"
            )
        }
        let error = unsafe csp_thread_start(
            256 << 10, "csp-worker", { unsafe WorkerRef($0!)!.run() }, UnsafeMutableRawPointer(worker.pointer))
        if error != 0 {
            fatal(
                "fatal error: cannot start thread number \(count) for goroutines (errno \(error)); see ulimit -u, ulimit -v and the "
                    + "cgroup's pids.max")
        }
        csp_count_own_thread(1)
        RaceDetector.ignoring { csp_note_thread_start() }
    }
}

extension WorkerRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// For a worker that has slept for long: true if its thread may end, since there are still more of them than processors. From then on nobody
    /// wakes it.
    func mayRetire() -> Bool {
        let core = SchedulerCore.running
        core.cell.idleLock.lock()
        defer { core.cell.idleLock.unlock() }
        guard cell.isIdle, core.cell.sleepers > core.cell.maxProcs.load(ordering: .relaxed) else { return false }
        core.unlink(self)
        return true
    }

    /// The last that a thread does for its worker, which another thread may take over.
    func retire() {
        let core = SchedulerCore.running
        TraceRecorder.shared.takeBack(from: self)
        cell.threadID.store(0, ordering: .releasing)
        unsafe csp_current_thread_record().pointee.worker = nil
        unsafe csp_current_thread_record().pointee.worker_number = 0
        csp_count_own_thread(-1)
        core.cell.idleLock.lock()
        core.cell.workers -= 1
        cell.nextIdle = core.cell.retired
        core.cell.retired = self
        core.cell.idleLock.unlock()
        // While it was on its way it counted as awake. This thread is foreign by now, so that the monitor will look again.
        core.checkDeadlock()
    }
}

extension Scheduler {
    // SAFETY: (whole type) the runtime is immortal.
    /// How many threads may run goroutines (Go's `debug.SetMaxThreads`); 10,000 unless set, or as CSP_MAXTHREADS says. Less than 1 traps.
    ///
    /// Threads beyond `maxProcs` come into being for goroutines that block in system calls or compute for long; those that are not needed for
    /// some seconds end. Exceeding the limit ends the process with a message.
    public static var maxThreads: Int {
        get {
            let core = unsafe SchedulerCore.shared
            core.cell.idleLock.lock()
            defer { core.cell.idleLock.unlock() }
            return core.cell.maxThreads
        }
        set {
            guard newValue >= 1 else { fatal("panic: Scheduler.maxThreads must be at least 1, not \(newValue)") }
            let core = unsafe SchedulerCore.shared
            core.cell.idleLock.lock()
            core.cell.maxThreads = newValue
            core.cell.idleLock.unlock()
        }
    }
}
