import CCSP
import Synchronization

/// A plain thread that waits: its record, which lives as long as the thread.
@usableFromInline
@safe
struct ThreadParker {
    // SAFETY: (whole type) a thread's record lives as long as the thread.
    private let record: UnsafeMutablePointer<csp_thread_record>

    // States of the record's first word, the futex.
    private static var waiting: UInt32 { 0 }
    private static var asleep: UInt32 { 1 }
    private static var signalled: UInt32 { 2 }

    /// Threads that are asleep, and nobody has signalled them yet. May be lower for a moment, never higher.
    static let asleepCount = Atomic<Int32>(0)

    @usableFromInline
    static var current: ThreadParker { unsafe ThreadParker(record: csp_current_thread_record()) }

    // SAFETY: (whole type) the record is the waiting thread's own; a waker touches it once, by the exchange in `ready`, and
    // then at most names its address to the kernel.
    private var state: UnsafeMutablePointer<Atomic<UInt32>> {
        unsafe UnsafeMutableRawPointer(record).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    // For handing over to C: arms the calling thread's, and finds it again.
    static func armed() -> UnsafeMutableRawPointer {
        current.arm()
        return unsafe UnsafeMutableRawPointer(current.record)
    }
    init(_ raw: UnsafeMutableRawPointer) {
        unsafe record = raw.assumingMemoryBound(to: csp_thread_record.self)
    }
    private init(record: UnsafeMutablePointer<csp_thread_record>) { unsafe self.record = unsafe record }

    /// Before the waiter is queued.
    @usableFromInline
    func arm() { unsafe state.pointee.store(Self.waiting, ordering: .relaxed) }

    /// Returns after `ready`. Lingers a little first: a waker pays 45 µs for a sleeping thread.
    @usableFromInline @inline(never)
    func wait() {
        let longest: UInt32 = 2000
        var spins = unsafe record.pointee.linger == 0 ? longest : record.pointee.linger
        let allowed = spins
        while spins > 0 {
            if unsafe state.pointee.load(ordering: .acquiring) == Self.signalled {
                unsafe record.pointee.linger = min(longest, allowed &* 2)
                return
            }
            csp_pause()
            spins -= 1
        }
        unsafe record.pointee.linger = max(500, allowed / 2)
        let (exchanged, _) = unsafe state.pointee.compareExchange(
            expected: Self.waiting, desired: Self.asleep, ordering: .acquiringAndReleasing)
        guard exchanged else { return }
        // See Deadlock.swift.
        let core = unsafe SchedulerCore.shared
        RaceDetector.ignoring {
            Self.asleepCount.add(1, ordering: .sequentiallyConsistent)
            core.checkDeadlock()
        }
        while unsafe state.pointee.load(ordering: .acquiring) != Self.signalled {
            unsafe csp_futex_wait(UnsafeRawPointer(record).assumingMemoryBound(to: UInt32.self), Self.asleep, -1)
        }
    }

    /// Waits, once what `afterwards` names is released. Not inlined, or where a channel is waited for the goroutine's way would not be.
    @inline(never)
    func block(_ afterwards: Afterwards) {
        // SAFETY: they are on the caller's stack.
        switch afterwards {
        case .unlockChannel(let channel, let word): channel.lockWord.unlock(publishing: word)
        case .unlock(let lock): lock.unlock()
        case .unlockAll(let locks): unsafe locks.pointee.unlockAll()
        case .nothing, .enqueue, .recycle: break
        }
        wait()
        RaceDetector.hasWaited(afterwards)
    }

    func ready() {
        if unsafe state.pointee.exchange(Self.signalled, ordering: .acquiringAndReleasing) == Self.asleep {
            RaceDetector.ignoring { _ = Self.asleepCount.subtract(1, ordering: .sequentiallyConsistent) }
            unsafe csp_futex_wake(UnsafeRawPointer(record).assumingMemoryBound(to: UInt32.self), 1)
        }
    }
}
