import CCSP
import Synchronization

/// The thread that looks after goroutines that wait although a processor is idle: it wakes a worker when one has waited for a
/// whole period. It polls only while something waits, dozes while processors are busy with nothing waiting, and sleeps when all are idle.
struct Monitor: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    static let period: Int64 = 200_000
    static let doze: Int64 = 10_000_000
    /// Polls without anything waiting before it dozes.
    static let patience = 16

    /// 1 while the monitor dozes or sleeps and wants to be called when something is left waiting.
    let alarm = Atomic<UInt32>(1)
    private let started = Atomic<Bool>(false)

    /// From a processor that leaves goroutines waiting, and from submitters. One load, most of the time.
    @inline(__always)
    func noteWaiting() {
        if alarm.load(ordering: .relaxed) != 0 { call() }
    }

    /// From whoever wakes a worker.
    func noteActivity() {}

    @inline(never)
    private func call() {
        if unsafe SchedulerCore.shared.cell.idleProcessors.load(ordering: .relaxed) == 0 { return }
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
        let core = unsafe SchedulerCore.shared
        var quiet = 0
        var heads = [UInt32](), tails = [UInt32](), ticks = [UInt32](), nexts = [UInt]()
        var globalWaited = false
        while true {
            unsafe csp_futex_wait(futexWord, 0, Self.period)
            let count = core.cell.processorCount.load(ordering: .acquiring)
            while tails.count < count {
                heads.append(0)
                tails.append(0)
                ticks.append(0)
                nexts.append(0)
            }
            var waiting = false, lasting = false
            for index in 0..<count {
                let one = core.processor(index)
                let head = one.cell.queue.head.load(ordering: .acquiring)
                let tail = one.cell.queue.tail.load(ordering: .acquiring)
                let tick = one.cell.tick.load(ordering: .relaxed)
                let next = unsafe UInt(bitPattern: one.cell.runNext.load(ordering: .relaxed))
                if head != tail || next != 0 { waiting = true }
                if Int32(bitPattern: tails[index] &- head) > 0 { lasting = true }
                if next != 0, next == nexts[index], tick == ticks[index] { lasting = true }
                tails[index] = tail
                ticks[index] = tick
                nexts[index] = next
            }
            let globalWaits = core.cell.global.count.load(ordering: .relaxed) > 0
            if globalWaits { waiting = true }
            if globalWaits && globalWaited { lasting = true }
            globalWaited = globalWaits
            let late = core.earliestDeadline() &+ Self.period < csp_now()
            let anyIdle = core.cell.idleProcessors.load(ordering: .sequentiallyConsistent) > 0
            if (lasting || late), anyIdle { core.wakeWorker() }

            quiet = waiting ? 0 : quiet + 1
            if quiet < Self.patience && anyIdle { continue }
            // Doze: whoever leaves something waiting calls. With every worker asleep there is nobody to look after.
            alarm.store(1, ordering: .sequentiallyConsistent)
            while alarm.load(ordering: .acquiring) != 0 {
                let asleep = core.cell.awake.load(ordering: .sequentiallyConsistent) == 0
                unsafe csp_futex_wait(futexWord, 1, asleep ? -1 : Self.doze)
                if !asleep, core.earliestDeadline() < csp_now(), core.cell.idleProcessors.load(ordering: .relaxed) > 0 {
                    core.wakeWorker()
                }
            }
            quiet = 0
        }
    }
}
