import CCSP
import Synchronization

/// Where events go while a trace is made or the flight recorder runs: each worker fills a chunk of its own, and takes a new one from here under a lock.
/// Memory has a bound. When it is used up, the oldest chunks go: which is what a flight recorder is, and what a trace counts as lost when its writer
/// cannot keep up.
///
/// While `lock` is held: a chunk is in `free`, in `full`, or in somebody's hands and in `inUse`; or it is of an earlier session and in the hands of a worker
/// that has not noticed yet.
final class TraceRecorder: @unchecked Sendable {
    // SAFETY: (whole type) all is guarded by the lock, or atomic.
    static let shared = TraceRecorder()

    /// Increases whenever recording begins; chunks of another session are of no use.
    private let session = Atomic<UInt64>(0)
    private let lock = OwnedLock()
    // Guarded by the lock.
    /// The oldest first.
    private var full: [TraceChunkRef] = []
    private var firstFull = 0
    private var free: [TraceChunkRef] = []
    private var inUse: [TraceChunkRef] = []
    /// How many chunks there may be for the recorder, and altogether; but never fewer than threads have in hand.
    private var mostKept = 0
    private var most: Int { isWriting || isDraining ? max(mostKept, Self.writersRoom / TraceChunk.bytes) : mostKept }
    private var nextNumber: UInt64 = 1
    /// Chunks up to this number have been written, or are not going to be; those beyond the other one came too late.
    private var writtenUpTo: UInt64 = 0
    private var lastToWrite = UInt64.max
    private var isWriting = false
    /// The writer still needs some.
    private var isDraining = false
    /// Nanoseconds that the flight recorder keeps; 0 while it is off.
    private var kept: Int64 = 0
    private var lost = 0
    /// Names of goroutines that the trace's writer has not seen yet, and those that the flight recorder keeps.
    private var newNames: [(UInt64, String)] = []
    private var keptNames: [(UInt64, String)] = []
    /// What users have marked.
    private var texts = ["..."]
    private var numbers: [String: UInt64] = [:]
    /// For threads that run no goroutines: each event is added under the lock.
    private var outside: TraceChunkRef?
    private(set) var began: Int64 = 0

    /// Whether anybody records.
    static var isOn: Bool {
        @inline(__always) get { csp_watch() & UInt32(CSP_WATCH_TRACE) != 0 }
    }

    /// Bytes that chunks may take while a trace is written: its writer is behind by that much at the most.
    private static let writersRoom = 64 << 20
    /// So many names are kept for the flight recorder, those of the latest goroutines.
    private static let mostNames = 10_000
    /// Further texts are all called by the first one's number.
    private static let mostTexts = 100_000

    // MARK: Who records

    /// False if a trace is being written already.
    func beginWriting() -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if isWriting || isDraining { return false }
        isWriting = true
        writtenUpTo = nextNumber - 1
        lastToWrite = .max
        lost = 0
        begin()
        return true
    }

    /// What is left for the writer are chunks that are full now, and what is returned: the events in those that are not. The flight recorder may go on.
    @discardableResult
    func endWriting() -> [TraceEvent] {
        lock.lock()
        defer { lock.unlock() }
        isWriting = false
        isDraining = true
        lastToWrite = nextNumber - 1
        end()
        return inUse.flatMap { $0.chunk.snapshot }
    }

    /// The writer has all.
    func hasWritten() {
        lock.lock()
        isDraining = false
        newNames = []
        lock.unlock()
    }

    func beginKeeping(_ nanoseconds: Int64, bytes: Int) {
        lock.lock()
        kept = max(1, nanoseconds)
        mostKept = max(bytes / TraceChunk.bytes, 8)
        begin()
        lock.unlock()
    }

    func endKeeping() {
        lock.lock()
        kept = 0
        end()
        lock.unlock()
    }

    /// After recording has begun, without the lock: names that were given before.
    func noteNames() {
        SchedulerCore.running.cell.registry.forEach { goroutine in
            if let (id, name) = goroutine.nameAndID { note(name, of: id) }
        }
    }

    var keeps: Int64 {
        lock.lock()
        defer { lock.unlock() }
        return kept
    }

    /// Under the lock.
    private func begin() {
        defer { csp_set_watch(UInt32(CSP_WATCH_TRACE), true) }
        if Self.isOn { return }
        began = csp_now()
        // What is there is still needed, and what is older is left out by its times.
        if isDraining { return }
        free += full[firstFull...]
        full = []
        firstFull = 0
        // Those in workers' hands come back when they notice.
        inUse = []
        if let outside { free.append(outside) }
        outside = nil
        session.wrappingAdd(1, ordering: .releasing)
        newNames = []
        keptNames = []
        texts = ["..."]
        numbers = [:]
    }

    /// Under the lock.
    private func end() {
        if !isWriting, kept == 0 { csp_set_watch(UInt32(CSP_WATCH_TRACE), false) }
    }

    // MARK: Events

    /// A thread ends that has been a worker.
    func takeBack(from worker: WorkerRef) {
        guard let chunk = worker.cell.traceChunk else { return }
        lock.lock()
        put(chunk)
        lock.unlock()
        worker.cell.traceChunk = nil
    }

    /// By a worker, in its loop or in one of its goroutines.
    @inline(__always)
    func add(_ event: TraceEvent, by worker: WorkerRef) {
        if let chunk = worker.cell.traceChunk, chunk.chunk.session == session.load(ordering: .relaxed),
            chunk.chunk.append(event)
        {
            return
        }
        addSlow(event, by: worker)
    }

    @inline(never)
    private func addSlow(_ event: TraceEvent, by worker: WorkerRef) {
        lock.lock()
        if let old = worker.cell.traceChunk { put(old) }
        let new = take()
        worker.cell.traceChunk = new
        lock.unlock()
        _ = new.chunk.append(event)
    }

    /// By anybody.
    func add(_ event: TraceEvent) {
        if let worker = GoroutineRef.current?.cell.worker ?? WorkerRef.current {
            var event = event
            event.worker = UInt32(truncatingIfNeeded: worker.cell.number)
            return add(event, by: worker)
        }
        lock.lock()
        defer { lock.unlock() }
        if let outside, outside.chunk.append(event) { return }
        if let outside { put(outside) }
        let new = take()
        outside = new
        _ = new.chunk.append(event)
    }

    /// Under the lock: a chunk that is full, or of an earlier session.
    private func put(_ chunk: TraceChunkRef) {
        guard chunk.chunk.session == session.load(ordering: .relaxed) else { return free.append(chunk) }
        if let place = inUse.firstIndex(of: chunk) { inUse.swapAt(place, inUse.count - 1) }
        inUse.removeLast()
        chunk.chunk.number = nextNumber
        nextNumber += 1
        full.append(chunk)
    }

    /// Under the lock. The oldest one's events go where there is no room for more.
    private func take() -> TraceChunkRef {
        let chunk: TraceChunkRef
        if inUse.count + full.count - firstFull >= most, firstFull < full.count {
            chunk = takeOldest()
            if isNeeded(chunk) { lost += chunk.chunk.count.load(ordering: .relaxed) }
        } else {
            chunk = free.popLast() ?? TraceChunkRef()
        }
        chunk.chunk.count.store(0, ordering: .relaxed)
        chunk.chunk.session = session.load(ordering: .relaxed)
        inUse.append(chunk)
        return chunk
    }

    /// Whether a trace's writer has not seen it, and is to.
    private func isNeeded(_ chunk: TraceChunkRef) -> Bool {
        (isWriting || isDraining) && chunk.chunk.number > writtenUpTo && chunk.chunk.number <= lastToWrite
    }

    private func takeOldest() -> TraceChunkRef {
        let chunk = full[firstFull]
        firstFull += 1
        if firstFull > full.count / 2, firstFull > 64 {
            full.removeFirst(firstFull)
            firstFull = 0
        }
        return chunk
    }

    // MARK: Reading

    /// For the trace's writer: the next full chunk's events. Nil when there is none.
    func nextForWriter() -> [TraceEvent]? {
        lock.lock()
        defer { lock.unlock() }
        guard let place = full[firstFull...].firstIndex(where: isNeeded) else { return nil }
        writtenUpTo = full[place].chunk.number
        let events = full[place].chunk.snapshot
        // Nobody else needs it.
        if kept == 0 { free.append(full.remove(at: place)) }
        return events
    }

    /// For the flight recorder: all that ended in the time that it keeps.
    var recent: [TraceEvent] {
        lock.lock()
        defer { lock.unlock() }
        let earliest = csp_now() - kept
        return (full[firstFull...] + inUse).flatMap {
            // A task's end is its number.
            $0.chunk.snapshot.filter { ($0.isOfTask ? $0.start : $0.end) >= earliest }
        }
    }

    /// Events that no writer has seen.
    var lostEvents: Int {
        lock.lock()
        defer { lock.unlock() }
        return lost
    }

    // MARK: Names

    /// A goroutine was given a name.
    func note(_ name: String, of goroutine: UInt64) {
        lock.lock()
        if isWriting { newNames.append((goroutine, name)) }
        if kept > 0 {
            keptNames.append((goroutine, name))
            if keptNames.count > 2 * Self.mostNames { keptNames.removeFirst(Self.mostNames) }
        }
        lock.unlock()
    }

    /// A number for a text.
    func number(of text: String) -> UInt64 {
        lock.lock()
        defer { lock.unlock() }
        if let known = numbers[text] { return known }
        if texts.count == Self.mostTexts { return 0 }
        numbers[text] = UInt64(texts.count)
        texts.append(text)
        return UInt64(texts.count - 1)
    }

    /// For the trace's writer: names that are new to it.
    func addNames(to names: inout TraceNames) {
        lock.lock()
        let new = newNames
        newNames = []
        if names.texts.count < texts.count { names.texts += texts[names.texts.count...] }
        lock.unlock()
        for (goroutine, name) in new { names.goroutines[goroutine] = name }
    }

    /// For the flight recorder: those that it keeps.
    var namesKept: TraceNames {
        lock.lock()
        let names = keptNames, texts = texts
        lock.unlock()
        return TraceNames(goroutines: Dictionary(names, uniquingKeysWith: { $1 }), texts: texts)
    }
}

/// Texts that events name by numbers, and goroutines' names.
struct TraceNames {
    var goroutines: [UInt64: String] = [:]
    var texts: [String] = []
}
