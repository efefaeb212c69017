import Synchronization

/// Where a worker that lingers takes a goroutine from a thread outside: one cache line passes between the two, where the global queue's lock, count and ring
/// are three, some of them twice.
///
/// One word: closed, open, or a goroutine. A lingering worker opens it if it is closed, looks into it as long as it finds it open or full, and `close`s it, by an
/// exchange, before it does anything else. So while it is open somebody is awake who will look once more, and what is posted, by whoever finds it open, needs no
/// announcement (see Idle.swift). Anybody may take it out: mostly that worker; another one if its thread has lost its CPU, for which the monitor looks.
/// Each step from full to closed is a read-modify-write, so one taker has the goroutine. A worker whose mailbox was emptied by somebody else, and opened again
/// by a third, between two looks of its own thinks it has it still; then two look into one mailbox, and whoever closes it first sends the other away.
///
/// Data: a post releases what was done for the goroutine before; taking it acquires that.
@safe
struct Mailbox: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal; the word is a cache line of our own.
    private static var closed: UInt { 0 }
    private static var open: UInt { 1 }
    private let word: UnsafeMutablePointer<Atomic<UInt>>

    init() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
        unsafe word = memory.bindMemory(to: Atomic<UInt>.self, capacity: 1)
        unsafe word.initialize(to: Atomic(Self.closed))
    }

    /// Unless it is in use. Whoever does this closes it.
    func open() -> Bool {
        unsafe word.pointee.compareExchange(expected: Self.closed, desired: Self.open, ordering: .relaxed).exchanged
    }

    var isOpen: Bool {
        @inline(__always) get { unsafe word.pointee.load(ordering: .relaxed) == Self.open }
    }

    var isFull: Bool { unsafe word.pointee.load(ordering: .relaxed) > Self.open }

    /// True when a worker that is awake has the goroutine, or will have it.
    func post(_ goroutine: GoroutineRef) -> Bool {
        unsafe word.pointee.compareExchange(
            expected: Self.open, desired: UInt(bitPattern: goroutine.pointer), ordering: .releasing
        ).exchanged
    }

    /// What was posted; then it is closed.
    func take() -> GoroutineRef? {
        let posted = unsafe word.pointee.load(ordering: .relaxed)
        guard posted > Self.open,
            unsafe word.pointee.compareExchange(expected: posted, desired: Self.closed, ordering: .acquiring).exchanged
        else { return nil }
        return unsafe GoroutineRef(UnsafeMutableRawPointer(bitPattern: posted))
    }

    /// The same, and closes it also if it is empty.
    func close() -> GoroutineRef? {
        let posted = unsafe word.pointee.exchange(Self.closed, ordering: .acquiring)
        return posted > Self.open ? unsafe GoroutineRef(UnsafeMutableRawPointer(bitPattern: posted)) : nil
    }
}
