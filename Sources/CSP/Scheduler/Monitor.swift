import CCSP
import Synchronization

/// The thread that looks after goroutines that wait: it wakes a worker when one has waited for a whole period although a processor is idle,
/// and hands a processor on when its goroutine blocks in the kernel, or computes for too long, while others wait. It returns the memory of stacks that
/// nobody needs. It polls only while something waits, dozes while processors are busy, and sleeps soon after all have become idle.
struct Monitor: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    static let period: Int64 = 200_000
    static let doze: Int64 = 2_000_000
    /// Once a processor was handed on whose goroutine blocked others may be about to block as well: then it looks after that time already, and
    /// after fifty looks in vain twice as late, and so on (as Go's sysmon does).
    static let shortest: Int64 = 20_000
    static let looksInVain = 50
    /// How long a computing goroutine may keep its processor from others; it is seen at most one doze later, which makes Go's 10 ms.
    static let longestRun: Int64 = 8_000_000
    /// Polls without anything waiting before it dozes.
    static let patience = 16
    /// The longest wait between two looks for a deadlock.
    static let longestPatience: Int64 = 10_000_000_000

    /// Whether the monitor wants to be called. One of these:
    let alarm = Atomic<UInt32>(untilCalled)
    /// It looks closely.
    private static let never: UInt32 = 0
    /// No processor is idle; it looks within a doze.
    private static let onceIdle: UInt32 = 2
    /// It looks within a doze, or sooner if it is called by who leaves something waiting. A worker that only gets up for an event, and runs who waited for
    /// it, need not call: two system calls less for each event.
    private static let whenWaiting: UInt32 = 1
    /// All were asleep: it looks no more until it is called, by who has risen or leaves something waiting.
    private static let untilCalled: UInt32 = 3
    private let started = Atomic<Bool>(false)
    /// Set when the goroutines are asleep for good but for a thread that is not ours.
    private let mustLookAgain = Atomic<Bool>(false)

    /// From a processor that leaves goroutines waiting, and from submitters. One load, most of the time.
    @inline(__always)
    func noteWaiting() {
        if alarm.load(ordering: .relaxed) & 1 != 0 { call() }
    }

    /// From a worker in its loop that has made goroutines ready, which it is about to run: if it has been asleep with all others nobody looks after it.
    /// It has raised `awake` before: either it sees here that the monitor sleeps, or the monitor sees it awake before it does.
    func noteAwake() {
        if alarm.load(ordering: .sequentiallyConsistent) == Self.untilCalled { call() }
    }

    /// From whoever leaves a processor idle.
    func noteIdle() {
        _ = alarm.compareExchange(expected: Self.onceIdle, desired: Self.whenWaiting, ordering: .relaxed)
    }

    /// From whoever finds that only a thread which is not ours can wake anybody.
    func lookAgain() {
        if mustLookAgain.exchange(true, ordering: .acquiringAndReleasing) { return }
        alarm.store(Self.untilCalled, ordering: .relaxed)
        call()
    }

    /// Starts the thread if there is none.
    @inline(never)
    func call() {
        guard alarm.exchange(Self.never, ordering: .acquiringAndReleasing) & 1 != 0 else { return }
        if !started.exchange(true, ordering: .acquiringAndReleasing) {
            // A failure only costs speed: an idle processor then takes no part until something else wakes it.
            if unsafe csp_thread_start(
                128 << 10, "csp-monitor",
                { _ in RaceDetector.ignoring { unsafe SchedulerCore.shared.cell.monitor.run() } }, nil) == 0
            {
                csp_count_own_thread(1)
            } else {
                started.store(false, ordering: .releasing)
            }
            return
        }
        // SAFETY: the monitor is part of the immortal scheduler cell.
        unsafe csp_futex_wake(futexWord, 1)
    }

    private var futexWord: UnsafePointer<UInt32> {
        unsafe withUnsafePointer(to: SchedulerCore.shared.pointer.pointee.monitor.alarm) {
            unsafe UnsafeRawPointer($0).assumingMemoryBound(to: UInt32.self)
        }
    }

    private func run() {
        let core = SchedulerCore.running
        csp_wake_early()
        var watch = ProcessorWatch()
        var rounds = Rounds(core)
        var quiet = 0
        var dozes = 0
        while true {
            var isAsleep = core.cell.awake.load(ordering: .sequentiallyConsistent) == 0
            if !isAsleep { dozes = 0 }
            let anyIdle = core.cell.idleProcessors.load(ordering: .sequentiallyConsistent) > 0
            if !anyIdle {
                alarm.store(Self.onceIdle, ordering: .relaxed)
                unsafe csp_futex_wait(futexWord, Self.onceIdle, rounds.limit(watch.delay))
            } else if !isAsleep, quiet < Self.patience {
                alarm.store(Self.never, ordering: .relaxed)
                unsafe csp_futex_wait(futexWord, Self.never, rounds.limit(min(watch.delay, Self.period)))
            } else {
                // From now on whoever leaves something waiting calls; this look finds what was left before. With every worker asleep there is
                // nobody to look after, but they may be up again in a moment: it sleeps after them only when it has dozed for a while.
                let wants = isAsleep && dozes >= Self.patience ? Self.untilCalled : Self.whenWaiting
                alarm.store(wants, ordering: .sequentiallyConsistent)
                if watch.look(core) {
                    quiet = 0
                    continue
                }
                isAsleep = core.cell.awake.load(ordering: .sequentiallyConsistent) == 0
                if isAsleep { lookForDeadlock(core, &rounds) }
                let mayWait = isAsleep && wants == Self.untilCalled ? -1 : Self.doze
                unsafe csp_futex_wait(futexWord, wants, rounds.limit(mayWait))
                dozes += 1
                if alarm.load(ordering: .relaxed) == Self.never {
                    quiet = 0
                    dozes = 0
                }
            }
            quiet = watch.look(core) ? 0 : quiet + 1
            rounds.make(core)
        }
    }

    /// Later and later, as long as it is in vain.
    private func lookForDeadlock(_ core: SchedulerCore, _ rounds: inout Rounds) {
        guard mustLookAgain.load(ordering: .acquiring) else { return rounds.deadlockDue = .max }
        let now = csp_now()
        if rounds.deadlockDue == .max { rounds.deadlockDue = now + rounds.deadlockDelay }
        guard now >= rounds.deadlockDue else { return }
        rounds.deadlockDelay = min(rounds.deadlockDelay * 2, Self.longestPatience)
        rounds.deadlockDue = now + rounds.deadlockDelay
        // Lowered first, lest a note of somebody who sees it later is lost.
        mustLookAgain.store(false, ordering: .releasing)
        if core.endIfDeadlocked() { mustLookAgain.store(true, ordering: .releasing) }
    }
}

/// What the monitor does from time to time, whatever the processors do.
private struct Rounds {
    private static let reclaimPeriod: Int64 = 1_000_000_000
    private var reclaimDue = Int64.max
    private var traceDue = Int64.max
    private let tracePeriod: Int64
    private let start = csp_now()
    /// When to look again for a deadlock, and how long after that.
    var deadlockDue = Int64.max
    var deadlockDelay: Int64 = 1_000_000

    init(_ core: SchedulerCore) {
        tracePeriod = Int64(Knobs.schedulerTrace ?? 0) * 1_000_000
        if tracePeriod > 0 { traceDue = start + tracePeriod }
    }

    /// How long to wait at the most, for who would wait for `nanoseconds`, or for ever if that is negative.
    func limit(_ nanoseconds: Int64) -> Int64 {
        let next = min(reclaimDue, traceDue, deadlockDue)
        if next == .max { return nanoseconds }
        let left = max(0, next - csp_now())
        return nanoseconds < 0 ? left : min(left, nanoseconds)
    }

    mutating func make(_ core: SchedulerCore) {
        if reclaimDue == .max, !core.cell.stacks.mayReclaim, traceDue == .max { return }
        let now = csp_now()
        if now >= traceDue {
            traceDue = max(traceDue + tracePeriod, now)
            core.printTrace(milliseconds: (now - start) / 1_000_000)
        }
        if reclaimDue == .max {
            if core.cell.stacks.mayReclaim { reclaimDue = now + Self.reclaimPeriod }
        } else if now >= reclaimDue {
            // In portions, lest goroutines wait for us meanwhile.
            let isDone = core.reclaimStacks()
            reclaimDue = !isDone ? now : core.cell.stacks.mayReclaim ? now + Self.reclaimPeriod : .max
        }
    }
}
