import CCSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension Goroutine {
    /// Every goroutine's id, name, state, wait reason, wait time, stack and creator, in the form of Go's `runtime.Stack` for all goroutines.
    ///
    /// The calling goroutine comes first. Nothing stops meanwhile: each goroutine is shown as it was at some moment of the call. Where there are
    /// many, those with the same state and stack are shown once, with their number. Wait times are coarse: they may be some milliseconds off.
    /// Files and lines appear where the program has debug information.
    ///
    /// Blocks the calling thread, for some tens of milliseconds the first time. SIGQUIT prints the same to stderr and ends the process.
    ///
    /// - Complexity: O(goroutines); memory depends on how many different stacks there are, and has a bound.
    @inline(never)
    public static func dump() -> String {
        let text = Dump.text { _ in true }
        // The call must not be the last thing, since this function's frame is to be seen.
        csp_compiler_barrier()
        return text
    }
}

/// Who makes a dump, and where it goes.
package enum Dump {
    // SAFETY: (whole type) a job is touched by one thread at a time: the parker orders them.
    /// What is done with a census.
    typealias Use = (borrowing Census, inout Symbolicator) -> Void

    @safe
    private final class Job {
        let own: OwnTrace?
        let isWanted: (GoroutineRef) -> Bool
        let isGrouped: Bool?
        let use: Use
        let parker: UnsafeMutableRawPointer

        init(
            own: OwnTrace?, isGrouped: Bool?, _ isWanted: @escaping (GoroutineRef) -> Bool, _ use: @escaping Use
        ) {
            self.isGrouped = isGrouped
            self.own = own
            self.isWanted = isWanted
            self.use = use
            unsafe parker = ThreadParker.armed()
        }
    }

    /// Dumps to `file`.
    package static func write(to file: Int32) {
        if let error = census({ _ in true }, writing { print($0, to: file) }) { print(error, to: file) }
    }

    /// Of those that `isWanted` names, which may be asked about any.
    @inline(never)
    static func text(_ isWanted: @escaping (GoroutineRef) -> Bool) -> String {
        // SAFETY: written by the thread that dumps, until this one goes on.
        nonisolated(unsafe) var text = ""
        if let error = census(isWanted, writing { unsafe text += $0 }) { return error }
        return unsafe text
    }

    /// To show it as text.
    private static func writing(_ output: @escaping (String) -> Void) -> Use {
        { census, symbolicator in
            var writer = DumpWriter(symbolicator, output)
            writer.write(census)
        }
    }

    /// For whoever finds that no goroutine can ever go on: prints Go's message and the dump, and ends the process with status 2.
    package static func endInDeadlock() -> Never {
        LastWords.say()
        print("fatal error: all goroutines are asleep - deadlock!\n\n", to: STDERR_FILENO)
        write(to: STDERR_FILENO)
        _exit(2)
    }

    /// On the thread that waits for SIGQUIT.
    static func quit() {
        LastWords.say()
        print("SIGQUIT: quit\n\n", to: STDERR_FILENO)
        run(own: nil, { _ in true }, writing { print($0, to: STDERR_FILENO) })
        _exit(2)
    }

    /// Looks at all goroutines that are wanted, on a thread of its own, and blocks the calling one, as a system call would. A goroutine's stack may be too small for reading debug information, and its caller's
    /// need not be on a stack that others can look at. An error's text if there can be no thread.
    @inline(never) @discardableResult
    static func census(
        isGrouped: Bool? = nil, _ isWanted: @escaping (GoroutineRef) -> Bool, _ use: @escaping Use
    ) -> String? {
        let trace = UnsafeMutablePointer<csp_trace>.allocate(capacity: 1)
        unsafe trace.initialize(to: csp_trace())
        defer { unsafe trace.deallocate() }
        unsafe csp_walk_callers(trace)
        let job = Job(
            own: GoroutineRef.current.map { unsafe OwnTrace(goroutine: $0, trace: trace) }, isGrouped: isGrouped,
            isWanted,
            use)
        let error = unsafe csp_thread_start(
            Int(CSP_DUMP_STACK_SIZE), "csp-dump",
            { argument in
                let job = unsafe Unmanaged<Job>.fromOpaque(argument!).takeUnretainedValue()
                RaceDetector.ignoring { Dump.run(own: job.own, isGrouped: job.isGrouped, job.isWanted, job.use) }
                unsafe ThreadParker(job.parker).ready()
            }, Unmanaged.passUnretained(job).toOpaque())
        if error != 0 { return "no dump: cannot start a thread (errno \(error))\n" }
        ThreadParker.current.wait()
        // The thread may still be on its way out, but has no use for the job any more.
        withExtendedLifetime(job) {}
        return nil
    }

    private static func run(
        own: OwnTrace?, isGrouped: Bool? = nil, _ isWanted: (GoroutineRef) -> Bool, _ use: Use
    ) {
        let core = unsafe SchedulerCore.shared
        core.cell.dumpLock.lock()
        defer { core.cell.dumpLock.unlock() }
        let census = Census(own: own, isGrouped: isGrouped, isWanted)
        var symbolicator = Symbolicator()
        use(census, &symbolicator)
    }

    private static func print(_ text: String, to file: Int32) {
        var text = text
        text.withUTF8 {
            unsafe $0.withMemoryRebound(to: CChar.self) { unsafe csp_write(file, $0.baseAddress, $0.count) }
        }
    }
}
