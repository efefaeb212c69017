import CCSP
import Synchronization

/// The right to run goroutines, with what the runner needs at hand. Immortal.
@safe
struct ProcessorCell: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    // Written once.
    let index: Int
    // Shared.
    /// The goroutine to run before the queue: the partner of the one that made it ready, whose data is in the cache.
    let runNext = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    /// Counts goroutines entered; how others see whether this processor moves.
    let tick = Atomic<UInt32>(0)
    /// Set when maxProcs has fallen below this index: the worker gives it up at its next scheduling point.
    let isRetired = Atomic<Bool>(false)
    var queue = RunQueue()
    var timers = TimerHeap()
    // Owner only.
    var runNextStreak: UInt32 = 0
    var freeGoroutines = FreeGoroutines(capacity: 256)
    var stacks = StackCache()
    var random: UInt64
    var nextID: UInt64 = 0
    var idsLeft = 0
    // Written by the owner only, read by all: started - ended may be negative for one processor, never for the sum.
    let started = Atomic<Int>(0)
    let ended = Atomic<Int>(0)
    // Guarded by the idle lock.
    var isIdle = false
    var hasWorker = false

    init(index: Int) {
        self.index = index
        random = 0x9E37_79B9_7F4A_7C15 &* UInt64(index + 1)
    }
}

@safe
struct ProcessorRef: Equatable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    let pointer: UnsafeMutablePointer<ProcessorCell>

    @inline(__always)
    static func == (a: ProcessorRef, b: ProcessorRef) -> Bool { unsafe a.pointer == b.pointer }

    // SAFETY: processors are immortal; who may touch which field stands beside the field.
    var cell: ProcessorCell {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    /// Owner only: makes `goroutine` the next to run; who was that before goes to the queue.
    @inline(__always)
    func setRunNext(_ goroutine: GoroutineRef) {
        // A thief may empty the slot at any time, but only the owner fills it: nil stays nil.
        if unsafe cell.runNext.load(ordering: .relaxed) == nil {
            unsafe cell.runNext.store(UnsafeMutableRawPointer(goroutine.pointer), ordering: .releasing)
            return
        }
        let old = unsafe cell.runNext.exchange(
            UnsafeMutableRawPointer(goroutine.pointer), ordering: .acquiringAndReleasing)
        if let old = unsafe GoroutineRef(old) { enqueue(old) }
    }

    /// Owner only.
    @inline(__always)
    func takeRunNext() -> GoroutineRef? {
        if unsafe cell.runNext.load(ordering: .relaxed) == nil { return nil }
        return unsafe GoroutineRef(cell.runNext.exchange(nil, ordering: .acquiringAndReleasing))
    }

    /// Owner only: puts `goroutine` at the end of the queue, or half of a full queue and it into the global one.
    @inline(__always)
    func enqueue(_ goroutine: GoroutineRef) {
        if !cell.queue.push(goroutine) { enqueueSlow(goroutine) }
    }

    @inline(never)
    private func enqueueSlow(_ goroutine: GoroutineRef) {
        while !cell.queue.push(goroutine) {
            if cell.queue.moveHalf(to: &SchedulerCore.running.cell.global, and: goroutine) { return }
        }
    }

    /// xorshift64*: quick, and good enough to choose victims and cases.
    @inline(__always)
    func nextRandom() -> UInt64 {
        var x = cell.random
        x ^= x >> 12
        x ^= x << 25
        x ^= x >> 27
        cell.random = x
        return x &* 0x2545_F491_4F6C_DD1D
    }
}
