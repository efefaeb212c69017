import CCSP

// `go` passes task-locals on as `Task { }` does. The runtime copies them only into tasks, so a goroutine that was started with
// task-locals bound, or by a task, runs as if inside a dormant task of its own, whose locals are its. Everybody else pays one
// test for this.

/// A task that lies dormant for as long as its goroutine lives.
@safe
final class DormantTask: @unchecked Sendable {
    // SAFETY: (whole type) the task's first step runs within `init`, and nobody else touches it before.
    // SAFETY: written by the task's first step, which runs within `init`, and read afterwards only.
    nonisolated(unsafe) private(set) var address: UInt64 = 0
    nonisolated(unsafe) private var continuation: UnsafeContinuation<Void, Never>?

    /// Nil when nothing is bound here.
    static func capture() -> DormantTask? {
        if let goroutine = GoroutineRef.current {
            return goroutine.cell.worker!.cell.stateWords.anyTaskState ? DormantTask() : nil
        }
        return onThread()
    }

    @inline(never)
    private static func onThread() -> DormantTask? {
        if unsafe withUnsafeCurrentTask(body: { unsafe $0 != nil }) { return DormantTask() }
        // SAFETY: the record and the block are this thread's own.
        let record = unsafe csp_current_thread_record()!
        if unsafe record.pointee.task_locals == nil {
            var block: UnsafeMutablePointer<UInt64>?
            // A thread that never touched the library's thread locals has none.
            guard unsafe csp_tls_block(csp_in_swift_concurrency(), &block) > 0 else { return nil }
            unsafe record.pointee.task_locals = unsafe block! + ThreadStateLayout.shared.fallback
        }
        return unsafe record.pointee.task_locals.pointee != 0 ? DormantTask() : nil
    }

    private init() {
        RunInPlace.start { [unowned(unsafe) self] in
            unsafe withUnsafeCurrentTask { unsafe address = unsafe unsafeBitCast($0!, to: UInt64.self) }
            await unsafe withUnsafeContinuation { unsafe continuation = $0 }
        }
    }

    deinit { unsafe continuation?.resume() }
}

/// An executor that runs each job at once on the thread that enqueues it.
final class RunInPlace: TaskExecutor {
    // SAFETY: (whole type) the task's first step runs within `init`, and nobody else touches it before.
    private static let shared = RunInPlace()

    func enqueue(_ job: consuming ExecutorJob) { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }

    /// Starts a task, whose first step runs before this returns.
    static func start(_ body: sending @escaping () async -> Void) {
        Task.immediate(executorPreference: shared, operation: body)
    }

    /// Runs `body` inside a task, on this thread.
    static func run<T: Sendable>(_ body: @escaping @Sendable () -> T) -> T {
        nonisolated(unsafe) var result: T?
        start { unsafe result = body() }
        return unsafe result!
    }
}
