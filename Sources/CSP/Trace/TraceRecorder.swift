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
    private var made = 0
    private var most = 0
    private var nextNumber: UInt64 = 1
    /// Chunks up to this number have been written, or are not going to be.
    private var writtenUpTo: UInt64 = 0
    private var isWriting = false
    /// Nanoseconds that the flight recorder keeps; 0 while it is off.
    private var kept: Int64 = 0
    private var lost = 0
    private var names = TraceNames()
    /// For threads that run no goroutines: each event is added under the lock.
    private var outside: TraceChunkRef?
    private(set) var began: Int64 = 0

    /// Whether anybody records.
    static var isOn: Bool {
        @inline(__always) get { csp_watch() & UInt32(CSP_WATCH_TRACE) != 0 }
    }

    /// Bytes that chunks may take while a trace is written: its writer is behind by that much at the most.
    private static let writersRoom = 64 << 20

    // MARK: Who records

    /// False if a trace is being written already.
    func beginWriting() -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if isWriting { return false }
        isWriting = true
        writtenUpTo = nextNumber - 1
        lost = 0
        most = max(most, Self.writersRoom / TraceChunk.bytes)
        begin()
        return true
    }

    func endWriting() {
        lock.lock()
        isWriting = false
        end()
        lock.unlock()
    }

    func beginKeeping(_ nanoseconds: Int64, bytes: Int) {
        lock.lock()
        kept = max(1, nanoseconds)
        most = max(isWriting ? most : 0, bytes / TraceChunk.bytes, 8)
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
        if Self.isOn { return }
        free += full[firstFull...]
        full = []
        firstFull = 0
        // Those in workers' hands come back when they notice.
        inUse = []
        outside = nil
        session.wrappingAdd(1, ordering: .releasing)
        began = csp_now()
        names = TraceNames()
        csp_set_watch(UInt32(CSP_WATCH_TRACE), true)
    }

    /// Under the lock.
    private func end() {
        if !isWriting, kept == 0 { csp_set_watch(UInt32(CSP_WATCH_TRACE), false) }
    }

    // MARK: Events

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
        _ = new?.chunk.append(event)
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
        outside = take()
        _ = outside?.chunk.append(event)
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

    /// Under the lock. Nil only when everything is in use by others.
    private func take() -> TraceChunkRef? {
        let chunk: TraceChunkRef
        if let old = free.popLast() {
            chunk = old
        } else if made < most {
            made += 1
            chunk = TraceChunkRef()
        } else if firstFull < full.count {
            chunk = takeOldest()
            if isWriting, chunk.chunk.number > writtenUpTo { lost += chunk.chunk.count.load(ordering: .relaxed) }
        } else {
            lost += 1
            return nil
        }
        chunk.chunk.count.store(0, ordering: .relaxed)
        chunk.chunk.session = session.load(ordering: .relaxed)
        inUse.append(chunk)
        return chunk
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
        guard let place = full[firstFull...].firstIndex(where: { $0.chunk.number > writtenUpTo }) else { return nil }
        writtenUpTo = full[place].chunk.number
        let events = full[place].chunk.snapshot
        // Nobody else needs it.
        if kept == 0 { free.append(full.remove(at: place)) }
        return events
    }

    /// For the trace's writer, at the end: what is in chunks that are not full.
    var unfinished: [TraceEvent] {
        lock.lock()
        defer { lock.unlock() }
        return (inUse).flatMap { $0.chunk.snapshot }
    }

    /// For the flight recorder: all that ended in the time that it keeps.
    var recent: [TraceEvent] {
        lock.lock()
        defer { lock.unlock() }
        let earliest = csp_now() - kept
        return (full[firstFull...] + inUse).flatMap { $0.chunk.snapshot.filter { $0.end >= earliest } }
    }

    /// Events that no writer has seen.
    var lostEvents: Int {
        lock.lock()
        defer { lock.unlock() }
        return lost
    }

    // MARK: Names

    /// A goroutine with a name was made.
    func note(_ name: String, of goroutine: UInt64) {
        lock.lock()
        names.goroutines[goroutine] = name
        lock.unlock()
    }

    /// A number for a text.
    func number(of text: String) -> UInt64 {
        lock.lock()
        defer { lock.unlock() }
        return names.number(of: text)
    }

    var allNames: TraceNames {
        lock.lock()
        defer { lock.unlock() }
        return names
    }
}

/// Texts that events name by numbers, and goroutines' names. Both have a bound.
struct TraceNames {
    private static let most = 100_000
    var goroutines: [UInt64: String] = [:] {
        // The oldest are the likeliest to be gone.
        didSet { if goroutines.count > Self.most { forgetOldest() } }
    }
    private var numbers: [String: UInt64] = [:]
    private(set) var texts: [String] = []

    mutating func number(of text: String) -> UInt64 {
        if let known = numbers[text] { return known }
        if texts.count == Self.most { return numbers[texts[0]]! }
        numbers[text] = UInt64(texts.count)
        texts.append(text)
        return UInt64(texts.count - 1)
    }

    private mutating func forgetOldest() {
        let ids = goroutines.keys.sorted()
        let middle = ids[ids.count / 2]
        goroutines = goroutines.filter { $0.key >= middle }
    }
}
