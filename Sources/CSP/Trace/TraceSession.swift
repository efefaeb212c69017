import CCSP
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The thread that writes a trace.
enum TraceSession {
    // SAFETY: (whole type) what threads hand each other is ordered by the parker, or guarded by the lock.
    private static let lock = OwnedLock()
    // Guarded by the lock.
    nonisolated(unsafe) private static var current: Writing?

    @safe
    private final class Writing: @unchecked Sendable {
        let path: String
        let file: Int32
        let began = csp_now()
        let mustEnd = Atomic<Bool>(false)
        // Guarded by the lock.
        var isEnding = false
        /// Before `mustEnd`: what came last.
        var rest: [TraceEvent] = []
        /// Signalled once the file is complete and `error` is known. Not a parker: who waits here is not asleep for good.
        let done = unsafe csp_event_make()!
        var error: Int32 = 0

        init(_ path: String, _ file: Int32) {
            self.path = path
            self.file = file
        }

        deinit { unsafe csp_event_free(done) }
    }

    /// How long the writer sleeps when there is nothing to write.
    private static let pause: Int64 = 5_000_000

    static func begin(_ path: String) throws(TraceFailure) {
        csp_race_ignore()
        defer { csp_race_heed() }
        lock.lock()
        defer { lock.unlock() }
        guard unsafe current == nil else { throw .alreadyOn }
        let writing = Writing(path, try makeFile(path))
        guard TraceRecorder.shared.beginWriting() else {
            _ = close(writing.file)
            throw .alreadyOn
        }
        let error = unsafe csp_thread_start(
            Int(CSP_DUMP_STACK_SIZE), "csp-trace",
            { unsafe TraceSession.write(Unmanaged<Writing>.fromOpaque($0!).takeRetainedValue()) },
            Unmanaged.passRetained(writing).toOpaque())
        if error != 0 {
            TraceRecorder.shared.endWriting()
            TraceRecorder.shared.hasWritten()
            unsafe Unmanaged.passUnretained(writing).release()
            _ = close(writing.file)
            throw .cannotWrite(path: path, code: error)
        }
        csp_count_own_thread(1)
        unsafe current = writing
        TraceRecorder.shared.noteNames()
    }

    static func end() throws(TraceFailure) {
        csp_race_ignore()
        defer { csp_race_heed() }
        lock.lock()
        let ended = unsafe current
        let isFirst = ended?.isEnding == false
        ended?.isEnding = true
        lock.unlock()
        guard let ended else { throw .notOn }
        if isFirst {
            ended.rest = TraceRecorder.shared.endWriting()
            ended.mustEnd.store(true, ordering: .releasing)
        }
        unsafe csp_event_wait(ended.done)
        lock.lock()
        if unsafe current === ended { unsafe current = nil }
        lock.unlock()
        if ended.error != 0 { throw .cannotWrite(path: ended.path, code: ended.error) }
    }

    /// The path of the trace that is being written, if there is one.
    static var currentPath: String? {
        lock.lock()
        defer { lock.unlock() }
        return unsafe current?.path
    }

    private static func makeFile(_ path: String) throws(TraceFailure) -> Int32 {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw .cannotWrite(path: path, code: errno) }
        return file
    }

    /// On the writer's thread.
    private static func write(_ writing: Writing) {
        RaceDetector.ignoring {
            let recorder = TraceRecorder.shared
            var writer = TraceWriter(writing.file, began: writing.began)
            var isOver = false
            while !isOver {
                // What ends after this is in the last round.
                isOver = writing.mustEnd.load(ordering: .acquiring)
                recorder.addNames(to: &writer.names)
                while let events = recorder.nextForWriter() { write(events, since: writing.began, &writer) }
                if !isOver { csp_sleep(pause) }
            }
            recorder.addNames(to: &writer.names)
            write(writing.rest, since: writing.began, &writer)
            write(unended(since: writing.began), since: writing.began, &writer)
            writer.finish(lost: recorder.lostEvents)
            writing.error = writer.error
            if close(writing.file) != 0, writing.error == 0 { writing.error = errno }
            recorder.hasWritten()
            csp_count_own_thread(-1)
            unsafe csp_event_signal(writing.done)
        }
    }

    private static func write(_ events: [TraceEvent], since start: Int64, _ writer: inout TraceWriter) {
        for event in events where event.end >= start || event.isOfTask {
            var event = event
            event.start = max(event.start, start)
            writer.write(event)
        }
    }

    /// What goroutines are doing now, and since when.
    private static func unended(since start: Int64) -> [TraceEvent] {
        let now = csp_now()
        var events: [TraceEvent] = []
        SchedulerCore.running.cell.registry.forEach { goroutine in
            let status = unsafe GoroutineCell.Status(rawValue: csp_peek_8(&goroutine.pointer.pointee.status))
            let id = unsafe csp_peek_64(&goroutine.pointer.pointee.id)
            switch status {
            case .waiting:
                let coarse = unsafe Int64(bitPattern: csp_peek_64(&goroutine.pointer.pointee.waitingSince))
                let since = max(coarse, unsafe Int64(bitPattern: csp_peek_64(&goroutine.pointer.pointee.parkedAt)))
                let reason = unsafe WaitReason(rawValue: csp_peek_8(&goroutine.pointer.pointee.waitReason)) ?? .none
                events.append(
                    TraceEvent(kind: .waited, reason: reason, start: max(since, start), end: now, goroutine: id))
            case .running:
                let worker = unsafe WorkerRef(
                    UnsafeMutableRawPointer(bitPattern: UInt(csp_peek_64(&goroutine.pointer.pointee.worker))))
                // The time first: it is cleared before the id changes.
                guard let worker else { break }
                let since = worker.cell.watchedSince.load(ordering: .acquiring)
                guard since > 0, worker.cell.watchedID.load(ordering: .relaxed) == id else { break }
                let maker = unsafe csp_peek_64(&goroutine.pointer.pointee.creatorAddress)
                let processor = worker.cell.processor?.cell.index
                events.append(
                    TraceEvent(
                        kind: .runs, processor: Int16(processor ?? -1),
                        worker: UInt32(truncatingIfNeeded: worker.cell.number),
                        start: max(start, since), end: now, goroutine: id,
                        other: maker))
            case .runnable, .free, nil: break
            }
        }
        return events
    }

    // MARK: The flight recorder's

    static func writeRecent(_ path: String, canLookUp: Bool = true) throws(TraceFailure) {
        let file = try makeFile(path)
        let recorder = TraceRecorder.shared
        let events = recorder.recent
        let start = max(csp_now() - recorder.keeps, recorder.began)
        var writer = TraceWriter(file, began: start, names: recorder.namesKept, canLookUp: canLookUp)
        write(events, since: start, &writer)
        write(unended(since: start), since: start, &writer)
        writer.finish(lost: 0)
        let error = close(file) != 0 ? errno : 0
        if writer.error != 0 || error != 0 {
            throw .cannotWrite(path: path, code: writer.error != 0 ? writer.error : error)
        }
    }

    /// A goroutine's stack may be too small for reading debug information.
    static func onThreadOfItsOwn(_ body: @escaping () throws(TraceFailure) -> Void) throws(TraceFailure) {
        final class Job {
            let body: () throws(TraceFailure) -> Void
            var failure: TraceFailure?
            init(_ body: @escaping () throws(TraceFailure) -> Void) { self.body = body }
        }
        let job = Job(body)
        let error = unsafe csp_thread_run(
            Int(CSP_DUMP_STACK_SIZE),
            { argument in
                let job = unsafe Unmanaged<Job>.fromOpaque(argument!).takeUnretainedValue()
                RaceDetector.ignoring {
                    do throws(TraceFailure) { try job.body() } catch { job.failure = error }
                }
            }, Unmanaged.passUnretained(job).toOpaque())
        if error != 0 { throw .cannotWrite(path: "a file: no thread can be started", code: error) }
        if let failure = job.failure { throw failure }
    }
}

/// Writes the flight recorder's contents, and completes a trace, when the program is about to die.
enum LastWords {
    // SAFETY: (whole type) guarded by the lock.
    private static let lock = OwnedLock()
    // Guarded by the lock.
    nonisolated(unsafe) private static var isInstalled = false
    nonisolated(unsafe) private static var crashFile: String?

    /// Where the flight recorder's contents go; nil for nowhere.
    static func setCrashFile(_ path: String?) {
        lock.lock()
        unsafe crashFile = path
        lock.unlock()
        if path != nil { install() }
    }

    /// Once for all.
    private static func install() {
        lock.lock()
        defer { lock.unlock() }
        if unsafe isInstalled { return }
        unsafe isInstalled = true
        let error = csp_install_last_words { LastWords.say() }
        if error != 0 { printError("swift-csp: no trace will be written at a crash: no thread (errno \(error))\n") }
    }

    /// For a whole run: CSP_TRACE.
    static func traceRun(_ path: String) {
        do throws(TraceFailure) { try TraceSession.begin(path) } catch {
            return printError("swift-csp: CSP_TRACE: \(error)\n")
        }
        install()
        atexit {
            // A copy of the process has no thread that writes.
            guard csp_is_process_with_last_words() else { return }
            do throws(TraceFailure) { try TraceSession.end() } catch TraceFailure.notOn {
                // The program has ended it.
            } catch { printError("swift-csp: CSP_TRACE: \(error)\n") }
        }
    }

    /// On a thread of its own after a fault, and by who ends the process by other means. The program may be in a bad state: the recorder's names are not looked up, since that
    /// takes much for granted.
    static func say() {
        guard lock.tryLock() else { return }
        defer { lock.unlock() }
        if let path = TraceSession.currentPath { write(path) { () throws(TraceFailure) in try TraceSession.end() } }
        if let path = unsafe crashFile, TraceRecorder.shared.keeps > 0 {
            write(path) { () throws(TraceFailure) in try TraceSession.writeRecent(path, canLookUp: false) }
        }
    }

    private static func write(_ path: String, _ body: () throws(TraceFailure) -> Void) {
        do throws(TraceFailure) {
            try body()
            printError("swift-csp: the trace of the last moments is in \(path)\n")
        } catch { printError("swift-csp: \(error)\n") }
    }
}
