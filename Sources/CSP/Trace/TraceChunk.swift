import Synchronization

/// Room for events of one thread, which alone adds to it. Others may read those that `count` covers: they do not change until the chunk is used again.
@safe
struct TraceChunk: ~Copyable {
    // SAFETY: (whole type) chunks are immortal; an event is complete before `count` covers it.
    static var capacity: Int { 512 }
    static var bytes: Int { capacity * MemoryLayout<TraceEvent>.stride }

    let count = Atomic<Int>(0)
    /// Of which recording it is. Written before it is handed out.
    var session: UInt64 = 0
    /// In which order chunks became full. Guarded by the recorder's lock.
    var number: UInt64 = 0
    private let events = UnsafeMutablePointer<TraceEvent>.allocate(capacity: capacity)

    /// By the owner. False when it is full.
    @inline(__always)
    mutating func append(_ event: TraceEvent) -> Bool {
        let place = count.load(ordering: .relaxed)
        if place == Self.capacity { return false }
        unsafe (events + place).initialize(to: event)
        count.store(place + 1, ordering: .releasing)
        return true
    }

    /// What is there so far.
    var snapshot: [TraceEvent] {
        unsafe Array(UnsafeBufferPointer(start: events, count: count.load(ordering: .acquiring)))
    }
}

/// A chunk by reference.
@safe
struct TraceChunkRef: Equatable, @unchecked Sendable {
    // SAFETY: (whole type) chunks are immortal.
    private let pointer: UnsafeMutablePointer<TraceChunk>

    init() {
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: TraceChunk())
    }

    static func == (a: TraceChunkRef, b: TraceChunkRef) -> Bool { unsafe a.pointer == b.pointer }

    var chunk: TraceChunk {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }
}
