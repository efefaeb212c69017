import CCSP
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What has kept a trace from being written.
public enum TraceFailure: Error, CustomStringConvertible {
    /// A trace is being written already: one at a time.
    case alreadyOn
    /// There is no trace, or no flight recorder, to write.
    case notOn
    /// The file cannot be written; `code` is an errno.
    case cannotWrite(path: String, code: Int32)

    /// What has happened, and what to do.
    public var description: String {
        // SAFETY: strerror returns a C string.
        switch self {
        case .alreadyOn: "a trace is being written already: call Trace.stop first"
        case .notOn: "nothing is being recorded: call Trace.start or FlightRecorder.start first"
        case .cannotWrite(let path, let code):
            unsafe "cannot write the trace to \(path): \(String(cString: strerror(code))) (errno \(code))"
        }
    }
}

/// Records what goroutines and processors do, event by event, for a viewer: https://ui.perfetto.dev or chrome://tracing. Go's `runtime/trace`.
///
/// The picture has a track for each processor, with the goroutines that ran there; for each goroutine, with when it ran, could have run, or waited, and
/// for what; and arrows from who has made a goroutine ready to where it went on.
///
/// ```swift
/// try Trace.start(writingTo: "trace.json")
/// defer { try? Trace.stop() }
/// ```
///
/// The same for a whole run, without a change to the program: `CSP_TRACE=trace.json ./program`.
///
/// Up to 100,000 different names of regions, tasks and messages are told apart in one recording.
///
/// - Complexity: Off, nothing. On, some 90 ns for each time that a goroutine runs, and a thread that writes some 100 bytes for each event. Events that it
///   cannot keep up with are dropped, the oldest first, and counted in the file, as "lostEvents".
public enum Trace {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Whether a trace is being written or the flight recorder runs.
    public static var isOn: Bool { TraceRecorder.isOn }

    /// Begins to write a trace into a new file at `path`, which replaces one that is there.
    ///
    /// - Throws: `alreadyOn`, or `cannotWrite` if the file cannot be made.
    public static func start(writingTo path: String) throws(TraceFailure) {
        _ = unsafe SchedulerCore.shared
        try TraceSession.begin(path)
    }

    /// Ends the trace and waits until the file is complete. Blocks the calling thread for that long.
    ///
    /// - Throws: `notOn`, or `cannotWrite` if a part of it could not be written, a full disk say.
    public static func stop() throws(TraceFailure) { try TraceSession.end() }

    /// Marks the time that `body` takes, in the calling goroutine's part of the picture (Go's `trace.WithRegion`). Costs a load while nobody records.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    public static func withRegion<T: ~Copyable, E: Error>(_ name: String, _ body: () throws(E) -> T) throws(E) -> T {
        guard isOn else { return try body() }
        let start = csp_now()
        defer { mark(.region, name, start: start, end: csp_now()) }
        return try body()
    }

    /// Begins a piece of work that several goroutines may have a part in (Go's `trace.NewTask`).
    ///
    /// - Returns: What ends it.
    public static func task(_ name: String) -> TraceTask { TraceTask(name) }

    /// Notes a message, in the calling goroutine's part of the picture (Go's `trace.Log`).
    public static func log(_ message: String) {
        guard isOn else { return }
        let now = csp_now()
        mark(.logged, message, start: now, end: now)
    }

    fileprivate static func mark(_ kind: TraceEvent.Kind, _ name: String, start: Int64, end: Int64) {
        RaceDetector.ignoring {
            TraceRecorder.shared.add(
                TraceEvent(
                    kind: kind, start: start, end: end, goroutine: GoroutineRef.current?.cell.id ?? 0,
                    other: TraceRecorder.shared.number(of: name)))
        }
    }
}

/// A piece of work in a trace: see ``Trace/task(_:)``.
public struct TraceTask: Sendable {
    private static let lastNumber = Atomic<Int64>(0)
    private let name: String
    private let number: Int64

    fileprivate init(_ name: String) {
        self.name = name
        number = Self.lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
        if Trace.isOn { Trace.mark(.taskBegan, name, start: csp_now(), end: number) }
    }

    /// It is done. Any goroutine may say so, once.
    public func end() {
        if Trace.isOn { Trace.mark(.taskEnded, name, start: csp_now(), end: number) }
    }
}

/// Keeps what has happened in the last seconds, in memory, and writes it as a trace when it is asked for, or when the program crashes. Go's
/// `trace.FlightRecorder`.
///
/// ```swift
/// FlightRecorder.start(crashFile: "crash.json")
/// ...
/// if took > .seconds(1) { try FlightRecorder.write(to: "slow.json") }
/// ```
public enum FlightRecorder {
    // SAFETY: (whole type) the runtime is immortal.
    /// Begins to record, or changes how much is kept.
    ///
    /// - Parameters:
    ///   - duration: What is older is left out.
    ///   - bytes: How much memory events may take; with more of them, less time is kept. An event takes 40 bytes. Each thread that runs goroutines has room for
    ///     at least 512.
    ///   - crashFile: Where to write it if the program crashes, ends in a deadlock, or is told to dump by SIGQUIT. Nil for nowhere.
    public static func start(
        keeping duration: Duration = .seconds(10), bytes: Int = 16 << 20, crashFile: String? = nil
    ) {
        _ = unsafe SchedulerCore.shared
        RaceDetector.ignoring {
            TraceRecorder.shared.beginKeeping(duration.clampedNanoseconds, bytes: bytes)
            TraceRecorder.shared.noteNames()
        }
        LastWords.setCrashFile(crashFile)
    }

    /// Stops recording and forgets what was recorded.
    public static func stop() { RaceDetector.ignoring { TraceRecorder.shared.endKeeping() } }

    /// Whether it records.
    public static var isOn: Bool { RaceDetector.ignoring { TraceRecorder.shared.keeps > 0 } }

    /// Writes what is there into a new file at `path`, and goes on recording. Blocks the calling thread for that long.
    ///
    /// - Throws: `notOn`, or `cannotWrite`.
    public static func write(to path: String) throws(TraceFailure) {
        guard isOn else { throw .notOn }
        try TraceSession.onThreadOfItsOwn { () throws(TraceFailure) in try TraceSession.writeRecent(path) }
    }
}
