import CCSP
import Synchronization

/// The thread that looks after goroutines that wait: it wakes a worker when one has waited for a whole period although a processor is idle,
/// and hands a processor on when its goroutine has run for too long without a scheduling point while others wait. It polls only while
/// something waits, dozes while processors are busy, and sleeps when all are idle.
struct Monitor: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    static let period: Int64 = 200_000
    static let doze: Int64 = 2_000_000
    /// How long a goroutine may keep its processor from others; it is seen at most one doze later, which makes Go's 10 ms.
    static let longestRun: Int64 = 8_000_000
    /// Polls without anything waiting before it dozes.
    static let patience = 16

    /// 1 while the monitor wants to be called when something is left waiting: a processor is idle, and it is not looking closely.
    let alarm = Atomic<UInt32>(1)
    private let started = Atomic<Bool>(false)

    /// From a processor that leaves goroutines waiting, and from submitters. One load, most of the time.
    @inline(__always)
    func noteWaiting() {
        if alarm.load(ordering: .relaxed) != 0 { call() }
    }

    /// From whoever leaves a processor idle.
    func noteIdle() { alarm.store(1, ordering: .relaxed) }

    @inline(never)
    private func call() {
        guard alarm.exchange(0, ordering: .acquiringAndReleasing) != 0 else { return }
        if !started.exchange(true, ordering: .acquiringAndReleasing) {
            // A failure only costs speed: an idle processor then takes no part until something else wakes it.
            if unsafe csp_thread_start(
                128 << 10, "csp-monitor", { _ in unsafe SchedulerCore.shared.cell.monitor.run() }, nil) != 0
            {
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
        var watch = Watch()
        var quiet = 0
        while true {
            let isAsleep = core.cell.awake.load(ordering: .sequentiallyConsistent) == 0
            let anyIdle = core.cell.idleProcessors.load(ordering: .sequentiallyConsistent) > 0
            if !anyIdle {
                alarm.store(0, ordering: .relaxed)
                unsafe csp_futex_wait(futexWord, 0, Self.doze)
            } else if !isAsleep, quiet < Self.patience {
                alarm.store(0, ordering: .relaxed)
                unsafe csp_futex_wait(futexWord, 0, Self.period)
            } else {
                // From now on whoever leaves something waiting calls; this look finds what was left before. With every worker asleep there is
                // nobody to look after.
                alarm.store(1, ordering: .sequentiallyConsistent)
                if watch.look(core) {
                    quiet = 0
                    continue
                }
                unsafe csp_futex_wait(futexWord, 1, isAsleep ? -1 : Self.doze)
                if alarm.load(ordering: .relaxed) == 0 { quiet = 0 }
            }
            quiet = watch.look(core) ? 0 : quiet + 1
        }
    }

    /// What was seen at the last look.
    private struct Watch {
        private struct Sight {
            var tail: UInt32 = 0
            var tick: UInt32 = 0
            var next: UInt = 0
            /// Since when the tick has been the same.
            var since: Int64 = 0
        }
        private var sights: [Sight] = []
        private var globalWaited = false
        private var last: Int64 = 0

        /// Acts on what lasts. True when anything waits.
        mutating func look(_ core: SchedulerCore) -> Bool {
            let now = csp_now()
            csp_set_coarse_now(now)
            let globalWaits = core.cell.global.count.load(ordering: .relaxed) > 0
            let isLate = core.earliestDeadline() < now - Monitor.period
            let anyIdle = core.cell.idleProcessors.load(ordering: .sequentiallyConsistent) > 0
            // Two looks in quick succession say nothing about what lasts.
            let isSoon = now < last + Monitor.period / 2
            if !isSoon { last = now }
            var waiting = globalWaits, lasting = globalWaits && globalWaited
            if !isSoon { globalWaited = globalWaits }
            for index in 0..<core.cell.processorCount.load(ordering: .acquiring) {
                if index == sights.count { sights.append(Sight()) }
                let one = core.processor(index)
                let head = one.cell.queue.head.load(ordering: .acquiring)
                let last = sights[index]
                var sight = unsafe Sight(
                    tail: one.cell.queue.tail.load(ordering: .acquiring), tick: one.cell.tick.load(ordering: .relaxed),
                    next: UInt(bitPattern: one.cell.runNext.load(ordering: .relaxed)), since: now)
                let moves = sight.tick != last.tick
                if !moves { sight.since = last.since }
                if !isSoon { sights[index] = sight }
                let hasWaiting = head != sight.tail || sight.next != 0
                if hasWaiting { waiting = true }
                if Int32(bitPattern: last.tail &- head) > 0 { lasting = true }
                if sight.next != 0, sight.next == last.next, !moves { lasting = true }
                if !anyIdle, !moves, hasWaiting || globalWaits || isLate, now - sight.since >= Monitor.longestRun {
                    handOn(one, tick: sight.tick, core)
                    sights[index].since = now
                }
            }
            if (lasting && !isSoon) || isLate, anyIdle { core.wakeWorker() }
            return waiting
        }

        private func handOn(_ processor: ProcessorRef, tick: UInt32, _ core: SchedulerCore) {
            guard let worker = processor.cell.worker, worker.claim(owning: processor) else { return }
            if processor.cell.tick.load(ordering: .relaxed) == tick {
                core.handOn(processor, of: worker)
            } else {
                worker.endClaim()
            }
        }
    }
}
