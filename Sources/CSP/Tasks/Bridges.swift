import CCSP

// From tasks to goroutines and back.
//
// Swift's runtime may find a thread's variables before it runs a piece of a task, and use them after it. So while one runs on a goroutine, the
// goroutine is locked to its thread; that costs nothing unless it parks, which hands over the processor.

extension Goroutine {
    /// Runs `body` in a goroutine and waits for it from a Swift task: the task suspends, and none of Swift's threads is held, whatever `body` waits
    /// for. The way to call code that blocks from async code.
    ///
    /// ```swift
    /// let text = try await Goroutine.run { try blocking { try String(contentsOf: url) } }
    /// ```
    /// Cancelling the task cancels `Context.current` inside `body`, which has to look at it: this returns only when `body` does.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    nonisolated(nonsending)
        public static func run<T, E: Error>(
            _ name: String? = nil, stackSize: Int? = nil, _ body: sending @escaping () throws(E) -> sending T
        ) async throws(E) -> sending T
    {
        let result = RunResult<T, E>()
        let (context, cancel) = Context.current.withCancel()
        // SAFETY: `body` is sent to the goroutine, which resumes once.
        let body = unsafe UnsafeSending(body)
        await withTaskCancellationHandler {
            unsafe await withUnsafeContinuation { continuation in
                let run = unsafe UnsafeSending(body.value)
                go(name, stackSize: stackSize) {
                    GoroutineRef.current!.currentContext = context
                    unsafe result.set(run.value)
                    unsafe RaceDetector.resume(continuation, Unmanaged.passUnretained(result).toOpaque())
                }
            }
        } onCancel: {
            cancel(CancellationError())
        }
        unsafe RaceDetector.hasResumed(Unmanaged.passUnretained(result).toOpaque())
        cancel()
        return try result.get()
    }
}

/// Runs async code and waits for it: parks the calling goroutine, which costs no thread, or blocks the calling thread.
///
/// ```swift
/// let response = try runBlocking { try await client.execute(request, timeout: .seconds(5)) }
/// ```
/// `body` is a Swift task of its own, which runs where Swift's tasks do; if nothing can cancel it, it starts at once in the caller's place. It sees the
/// caller's task-locals. This returns only when `body` does.
///
/// A plain thread that waits here runs nothing else: on the main thread, a `body` that needs the main actor never ends.
///
/// - Parameter context: When it is done the task is cancelled; the caller's own unless given.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
@available(*, noasync)
public func runBlocking<T, E: Error>(
    in context: Context = .current, _ body: sending @escaping () async throws(E) -> sending T
) throws(E) -> sending T {
    let result = RunResult<T, E>()
    let done = Channel<Never>()
    // SAFETY: `body` is sent to the task.
    nonisolated(unsafe) let body = body
    let run: @Sendable () async -> Void = {
        await unsafe result.set(body)
        done.close()
    }
    var stop: (@Sendable () -> Bool)?
    if context.channel == nil {
        Goroutine.withLockedThread { _ = Task.immediate { await run() } }
    } else {
        // Not at once: what could cancel it would come only when it has suspended.
        let task = Task { await run() }
        if context.error != nil { task.cancel() }
        stop = context.afterDone { Goroutine.withLockedThread { task.cancel() } }
    }
    Bubble.withWorkOutside { _ = done.receive() }
    _ = stop?()
    return try result.get()
}

extension Scheduler {
    /// Runs Swift tasks in goroutines, so that one pool of threads serves both:
    ///
    /// ```swift
    /// await withTaskExecutorPreference(Scheduler.taskExecutor) { await serve() }
    /// ```
    /// Each piece of a task between two suspensions is a goroutine. So a piece may also wait as goroutines do, with the functions that are not async: its
    /// processor goes on with others then, but its thread waits, as in `Goroutine.withLockedThread`. Actors without an executor of their own, child tasks and what comes after
    /// `Task.sleep` run here too. Priorities are ignored.
    public static let taskExecutor: any TaskExecutor = GoroutineExecutor()
}

private final class GoroutineExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        // SAFETY: the job is run once.
        let job = UnownedJob(job)
        unsafe GoroutineRef.spawn(
            nil, stackSize: nil, creatorAddress: nil, inheritsTaskLocals: false,
            GoroutineBody(
                run: {
                    Goroutine.withLockedThread { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
                }, group: nil))
    }
}

// MARK: Async sequences as channels

extension ReceiveChannel {
    /// Gets the elements of an async sequence, and is closed after the last one.
    ///
    /// ```swift
    /// for tick in ReceiveChannel(clockTicks, capacity: 8, in: context) { ... }
    /// ```
    /// A Swift task goes through the sequence, as fast as elements are received: it is at most `capacity` + 1 elements ahead. If nobody receives
    /// any more it waits until `context` is done, so give one that will be: then the task is cancelled and the channel closed.
    public init<S: AsyncSequence & SendableMetatype>(
        _ sequence: sending S, capacity: Int = 0, in context: Context = .current
    ) where S.AsyncIterator: SendableMetatype, Element: Sendable, S.Element == Element, S.Failure == Never {
        self.init(capacity: capacity, in: context) { channel in
            for await element in sequence {
                do { try await channel.send(element) } catch { return }
            }
        }
    }

    /// The same for a sequence that may fail: after an error, which is the last element, the channel is closed.
    @_disfavoredOverload
    public init<S: AsyncSequence & SendableMetatype>(
        _ sequence: sending S, capacity: Int = 0, in context: Context = .current
    ) where S.AsyncIterator: SendableMetatype, S.Element: Sendable, Element == Result<S.Element, S.Failure> {
        self.init(capacity: capacity, in: context) { channel in
            var iterator = sequence.makeAsyncIterator()
            var hasFailed = false
            while !hasFailed {
                let result: Element
                do throws(S.Failure) {
                    guard let element = try await iterator.next(isolation: nil) else { return }
                    result = .success(element)
                } catch {
                    result = .failure(error)
                    hasFailed = true
                }
                do { try await channel.send(result) } catch { return }
            }
        }
    }

    private init(
        capacity: Int, in context: Context, _ relay: sending @escaping (Channel<Element>) async -> Void
    ) {
        let channel = Channel<Element>(capacity: capacity)
        self.init(channel)
        // SAFETY: `relay` is sent to the inner task.
        Task { [relay = unsafe UnsafeSending(relay)] in
            let task = Task { [relay = unsafe UnsafeSending(relay.value)] in
                await unsafe relay.value(channel)
                channel.close()
            }
            let stop = context.afterDone { task.cancel() }
            await task.value
            _ = stop()
        }
    }
}
