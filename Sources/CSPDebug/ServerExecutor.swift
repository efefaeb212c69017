import Dispatch

/// Runs the start and the end of a server on a thread of its own, so that whoever waits for them may be one of Swift's threads, or the last of them.
final class ServerExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "csp-debug")

    func enqueue(_ job: consuming ExecutorJob) {
        // SAFETY: run exactly once.
        let job = UnownedJob(job)
        queue.async { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
