import CCSP

/// Starts `body` in a new goroutine and returns at once.
///
/// May be called from anywhere: a goroutine, a plain thread or a Swift task. The goroutine runs until `body` returns, or until the
/// process ends: when `main` returns, goroutines end with it, as in Go.
///
/// - Parameters:
///   - name: Shown in dumps and fatal messages.
///   - stackSize: Bytes of address space, rounded up to a power of two; 256 KiB unless given, 32 KiB to 1 GiB. Memory is
///     committed page by page as the stack grows. A size out of range traps.
///   - body: What to run.
/// - Complexity: O(1); no allocation beyond the closure's own.
@inline(never)
public func go(_ name: String? = nil, stackSize: Int? = nil, _ body: consuming sending @escaping () -> Void) {
    // SAFETY: `body` is sent to the new goroutine.
    unsafe GoroutineRef.spawn(
        name, stackSize: stackSize, creatorAddress: csp_return_address(), GoroutineBody(run: body, group: nil))
}

/// The same for a function: `go(work)`.
@inline(never)
public func go(_ body: consuming sending @escaping () -> Void) {
    // SAFETY: as above.
    unsafe GoroutineRef.spawn(
        nil, stackSize: nil, creatorAddress: csp_return_address(), GoroutineBody(run: body, group: nil))
}

/// A goroutine's identity.
public struct Goroutine: Sendable, Identifiable, Hashable {
    // SAFETY: (whole type) the runtime is immortal; what is handed over is not used by the sender again.
    /// Unique in this process, never reused. The first goroutine is 1.
    public let id: UInt64
    /// The name given to `go`, or nil.
    public let name: String?

    /// The calling goroutine; nil on a plain thread, and inside a Swift task unless that runs on `Scheduler.taskExecutor`.
    public static var current: Goroutine? {
        guard let current = GoroutineRef.current else { return nil }
        return Goroutine(id: current.cell.id, name: current.cell.name)
    }

    /// Goroutines that have started and not yet returned.
    public static var count: Int { unsafe SchedulerCore.shared.goroutineCount }

    /// Lets others run (Go's `runtime.Gosched`). On a plain thread, yields the thread.
    public static func yield() {
        if let current = GoroutineRef.current { current.yield() } else { _ = csp_yield_thread() }
    }

    /// Runs `body` in a goroutine and waits for it: blocks the calling goroutine or thread. The caller's `Context.current` is the body's.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    @available(*, noasync)
    public static func run<T, E: Error>(
        _ name: String? = nil, stackSize: Int? = nil, _ body: sending @escaping () throws(E) -> sending T
    ) throws(E) -> sending T {
        let result = RunResult<T, E>()
        let done = Channel<Never>()
        let context = GoroutineRef.current?.cell.currentContext
        unsafe go(name, stackSize: stackSize) { [body = UnsafeSending(body)] in
            if let context { GoroutineRef.current!.currentContext = context }
            unsafe result.set(body.value)
            done.close()
        }
        _ = done.receive()
        return try result.get()
    }
}

/// Carries a result from the goroutine or task that made it to the one that waits.
final class RunResult<T, E: Error>: @unchecked Sendable {
    // SAFETY: (whole type) written once, before the other side is told, and read by that once it knows.
    private var outcome: Result<T, E>?

    func set(_ body: () throws(E) -> T) {
        do throws(E) { outcome = .success(try body()) } catch { outcome = .failure(error) }
    }

    nonisolated(nonsending)
        func set(_ body: () async throws(E) -> T) async
    {
        do throws(E) { outcome = .success(try await body()) } catch { outcome = .failure(error) }
    }

    /// Takes it: the other side still has this object for a while.
    func get() throws(E) -> sending T { try unsafe UnsafeSending(outcome.take()!.get()).value }
}

/// A value whose sole owner hands it over, where the compiler cannot see it.
@unsafe struct UnsafeSending<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    var value: Value
    // SAFETY: used once, by the receiver.
    init(_ value: consuming Value) { unsafe self.value = value }
}

/// The goroutines' scheduler.
public enum Scheduler {
    // SAFETY: (whole type) the runtime is immortal; what is handed over is not used by the sender again.
    /// How many goroutines can run at the same time (Go's GOMAXPROCS). Less than 1 traps; more than 1024 counts as 1024.
    ///
    /// Defaults to the CPUs this process may use by its affinity mask, or fewer by its cgroup's quota. Can change at
    /// any time; a goroutine that computes keeps its processor until its next scheduling point.
    public static var maxProcs: Int {
        get { unsafe SchedulerCore.shared.cell.maxProcs.load(ordering: .relaxed) }
        set { unsafe SchedulerCore.shared.setMaxProcs(newValue) }
    }
}
