import CCSP
import Synchronization

/// A watched descriptor's state. Immortal and type-stable, as goroutines' control blocks are: an event that comes late finds a cell, perhaps of another
/// descriptor by now, and does no harm there (see `PollLane`). Most of those are told by `generation`.
@safe
struct PollCell: ~Copyable {
    // SAFETY: (whole type) cells are immortal.
    // Written by whoever owns it.
    var nextFree: PollCellRef?
    /// Increases with each descriptor.
    let generation = Atomic<UInt64>(0)
    /// For reading, and for writing. Not in here: to find the second one's address is to look at the first as far as the race detector can tell.
    fileprivate let lanes: UnsafeMutablePointer<PollLane>

    /// For a cell at `address`, which its timers name.
    fileprivate init(at address: UnsafeMutableRawPointer) {
        unsafe lanes = .allocate(capacity: 2)
        let reading = unsafe TimerNode(object: address) { cell, _ in
            unsafe PollCellRef(pointer: cell.assumingMemoryBound(to: PollCell.self)).reading.expire()
            return 0
        }
        let writing = unsafe TimerNode(object: address) { cell, _ in
            unsafe PollCellRef(pointer: cell.assumingMemoryBound(to: PollCell.self)).writing.expire()
            return 0
        }
        unsafe lanes.initialize(to: PollLane(deadline: reading))
        unsafe (lanes + 1).initialize(to: PollLane(deadline: writing))
    }
}

/// A cell by reference.
@safe
struct PollCellRef: Equatable, @unchecked Sendable {
    // SAFETY: (whole type) cells are immortal, and a Ref always points at an initialised one.
    private let pointer: UnsafeMutablePointer<PollCell>

    fileprivate init(pointer: UnsafeMutablePointer<PollCell>) { unsafe self.pointer = unsafe pointer }

    static func == (a: PollCellRef, b: PollCellRef) -> Bool { unsafe a.pointer == b.pointer }

    var reading: PollLaneRef { unsafe PollLaneRef(pointer.pointee.lanes) }
    var writing: PollLaneRef { unsafe PollLaneRef(pointer.pointee.lanes + 1) }

    // MARK: Tokens

    // An address takes 47 bits; above it are the lowest bits of the generation.
    private static var addressBits: UInt64 { 48 }

    /// What the kernel gives back with each event.
    var token: UInt64 {
        unsafe UInt64(UInt(bitPattern: pointer))
            | pointer.pointee.generation.load(ordering: .relaxed) << Self.addressBits
    }

    /// Makes ready who waits for what has happened.
    static func notify(_ event: csp_poll_event) {
        let address = UInt(event.token & (1 << addressBits - 1))
        // SAFETY: the kernel has the token from us.
        let cell = unsafe PollCellRef(pointer: UnsafeMutablePointer<PollCell>(bitPattern: address)!)
        guard cell.token == event.token else { return }
        let isHangup = event.what & UInt32(CSP_POLL_HANGUP) != 0
        if event.what & UInt32(CSP_POLL_READ) != 0 { cell.reading.notify(isHangup: isHangup) }
        if event.what & UInt32(CSP_POLL_WRITE) != 0 { cell.writing.notify(isHangup: isHangup) }
    }

    // MARK: Cells that are free

    private static let lock = OwnedLock()
    // Guarded by the lock.
    nonisolated(unsafe) private static var firstFree: PollCellRef?
    private static let chunk = 64
    /// All chunks. A search for leaks comes by here to those who wait for a descriptor, since what wakes them, the kernel, cannot be looked into.
    nonisolated(unsafe) private static var chunks: [UnsafeMutablePointer<PollCell>] = unsafe []

    /// A cell for a new descriptor, whose timers will be in `processor`'s heap.
    static func take(_ processor: ProcessorRef) -> PollCellRef {
        lock.lock()
        if unsafe firstFree == nil { makeCells() }
        let cell = unsafe firstFree!
        unsafe firstFree = unsafe cell.pointer.pointee.nextFree
        lock.unlock()
        unsafe cell.pointer.pointee.generation.wrappingAdd(1, ordering: .relaxed)
        cell.reading.begin(processor)
        cell.writing.begin(processor)
        return cell
    }

    /// Nobody uses it any more.
    func giveBack() {
        reading.end()
        writing.end()
        Self.lock.lock()
        unsafe pointer.pointee.nextFree = unsafe Self.firstFree
        unsafe Self.firstFree = self
        Self.lock.unlock()
    }

    private static func makeCells() {
        let cells = UnsafeMutablePointer<PollCell>.allocate(capacity: chunk)
        unsafe chunks.append(cells)
        for index in 0..<chunk {
            let pointer = unsafe cells + index
            unsafe pointer.initialize(to: PollCell(at: pointer))
            unsafe pointer.pointee.nextFree = unsafe firstFree
            unsafe firstFree = unsafe PollCellRef(pointer: pointer)
        }
    }
}
