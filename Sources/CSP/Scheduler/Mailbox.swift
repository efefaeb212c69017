import Synchronization

/// Where a worker that lingers takes a goroutine from a thread outside: one cache line passes between the two, where the global queue's lock, count and ring
/// are three, some of them twice.
///
/// One word: closed, open, or a goroutine. One lingering worker at a time has it: from `open`, which succeeds only when it is closed, until it has taken a
/// goroutine or `close`d it. Only who finds it open puts a goroutine there, and only its worker takes it out, which is awake meanwhile and does not leave
/// without a last look, since `close` is an exchange. So what is posted is not forgotten, and need not be announced to anybody (see Idle.swift).
///
/// Data: a post releases what was done for the goroutine before; taking it acquires that.
@safe
struct Mailbox: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal; the word is a cache line of our own.
    private static var closed: UInt { 0 }
    private static var isOpen: UInt { 1 }
    private let word: UnsafeMutablePointer<Atomic<UInt>>

    init() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
        unsafe word = memory.bindMemory(to: Atomic<UInt>.self, capacity: 1)
        unsafe word.initialize(to: Atomic(Self.closed))
    }

    /// True if it is the calling worker's from now on.
    func open() -> Bool {
        unsafe word.pointee.compareExchange(expected: Self.closed, desired: Self.isOpen, ordering: .relaxed).exchanged
    }

    /// True when the worker has the goroutine.
    func post(_ goroutine: GoroutineRef) -> Bool {
        unsafe word.pointee.compareExchange(
            expected: Self.isOpen, desired: UInt(bitPattern: goroutine.pointer), ordering: .releasing
        ).exchanged
    }

    /// For the worker that has it: what was posted, with which it has it no more.
    @inline(__always)
    func take() -> GoroutineRef? {
        let posted = unsafe word.pointee.load(ordering: .acquiring)
        guard posted != Self.isOpen else { return nil }
        unsafe word.pointee.store(Self.closed, ordering: .relaxed)
        return unsafe GoroutineRef(UnsafeMutableRawPointer(bitPattern: posted))
    }

    /// The same for good.
    func close() -> GoroutineRef? {
        let posted = unsafe word.pointee.exchange(Self.closed, ordering: .acquiring)
        return posted == Self.isOpen ? nil : unsafe GoroutineRef(UnsafeMutableRawPointer(bitPattern: posted))
    }
}
