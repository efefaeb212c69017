import CCSP

// `go` passes task-locals on as `Task { }` does. The runtime copies them only into tasks, so a goroutine that was started with
// task-locals bound runs as if inside a dormant task of its own, whose locals are its. Everybody else pays one test for this, and tasks two.

/// A task that lies dormant for as long as its goroutine lives.
@safe
final class DormantTask: @unchecked Sendable {
    // SAFETY: (whole type) the task's first step runs within `init`, and nobody else touches it before.
    // SAFETY: written by the task's first step, which runs within `init`, and read afterwards only.
    nonisolated(unsafe) private(set) var address: UInt64 = 0
    nonisolated(unsafe) private var continuation: UnsafeContinuation<Void, Never>?

    /// Nil when nothing is bound here. `caller` is the calling goroutine, if any.
    @inline(__always)
    static func capture(by caller: GoroutineRef?) -> DormantTask? {
        guard let caller else { return onThread() }
        return caller.cell.worker!.cell.stateWords.anyTaskState ? ofTask() : nil
    }

    @inline(never)
    private static func ofTask() -> DormantTask? { taskHasLocals() == false ? nil : DormantTask() }

    /// Whether the current task has any bound, as far as that is known; nil without one.
    private static func taskHasLocals() -> Bool? {
        unsafe withUnsafeCurrentTask { task in
            guard let task = unsafe task else { return nil }
            guard let place = TaskLayout.locals else { return true }
            // SAFETY: the current task is alive, and has a word there.
            let address = unsafe UnsafePointer<UInt64>(bitPattern: UInt(unsafeBitCast(task, to: UInt64.self)))!
            return unsafe address[place] != 0
        }
    }

    @inline(never)
    private static func onThread() -> DormantTask? {
        if let hasLocals = taskHasLocals() { return hasLocals ? DormantTask() : nil }
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

/// Where a task keeps its task-locals, found by looking as in RuntimeState.swift: the word that is not zero exactly while one is bound.
enum TaskLayout {
    /// Words from the task's address; nil when that is not clear, and then every task is taken to have some.
    static let locals = probe()

    @TaskLocal private static var probed = 0

    private static func probe() -> Int? {
        // SAFETY: the task does not suspend, so it is over when this goes on.
        nonisolated(unsafe) var looks: (before: [UInt64], bound: [UInt64], after: [UInt64]) = ([], [], [])
        // Detached, so that it inherits none.
        Task.immediateDetached(executorPreference: RunInPlace.shared) { unsafe looks = await look() }
        let places = unsafe looks.before.indices.filter {
            unsafe looks.before[$0] == 0 && looks.bound[$0] != 0 && looks.after[$0] == 0
        }
        return places.count == 1 ? places[0] : nil
    }

    /// A function of its own, so that something is in the task's memory already: what keeps account of that would look like what we look for.
    @inline(never)
    private static func look() async -> (before: [UInt64], bound: [UInt64], after: [UInt64]) {
        let before = snapshot()
        let bound = await bind()
        return (before, bound, snapshot())
    }

    @inline(never)
    private static func bind() async -> [UInt64] { $probed.withValue(1) { snapshot() } }

    private static func snapshot() -> [UInt64] {
        unsafe withUnsafeCurrentTask { task in
            // SAFETY: the task is a heap object of its own, and only what belongs to it is read.
            let address = unsafe UnsafeMutableRawPointer(
                bitPattern: UInt(unsafeBitCast(task!, to: UInt64.self)))!
            let words = unsafe min(csp_usable_size(address) / 8, 64)
            return unsafe Array(UnsafeBufferPointer(start: address.assumingMemoryBound(to: UInt64.self), count: words))
        }
    }
}

/// An executor that runs each job at once on the thread that enqueues it.
final class RunInPlace: TaskExecutor {
    // SAFETY: (whole type) the task's first step runs within `init`, and nobody else touches it before.
    static let shared = RunInPlace()

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
