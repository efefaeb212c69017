import CSP
import CoreMetrics

/// The metrics and what was recorded in them last. Their names are those that CSPDebug's `/metrics` has.
final class Recorder {
    private let factory: any MetricsFactory
    private var meters: [Key: Meter] = [:]
    private var counters: [Key: (counter: Counter, recorded: UInt64)] = [:]
    private var secondsCounters: [Key: (counter: FloatingPointCounter, recorded: Double)] = [:]
    /// All states that were ever seen: one with no goroutine any more is recorded as 0, not left at what it was.
    private var reasons: Set<String> = []

    private struct Key: Hashable {
        let name: String
        let dimension: String
        let value: String
    }

    init(_ factory: any MetricsFactory) { self.factory = factory }

    func record(_ metrics: SchedulerMetrics) {
        recordGoroutines(metrics)
        recordProcessors(metrics)
        set("csp_threads", metrics.threads)
        set("csp_idle_threads", metrics.idleThreads)
        set("csp_timers", metrics.timers)
        set("csp_polled_descriptors", metrics.polledDescriptors)
        set("csp_awaited_descriptors", metrics.waitingForDescriptors)
        set("csp_stacks", metrics.stacks)
        set("csp_free_stacks", metrics.freeStacks)
        set("csp_stack_bytes", metrics.stackBytes)
        count("csp_contentions_total", metrics.contentions)
        count("csp_contention_seconds_total", seconds: metrics.contentionTime)
        count("csp_scheduling_latency_seconds_count", metrics.latency.counts.reduce(0, +))
        count("csp_scheduling_latency_seconds_sum", seconds: metrics.latency.sum)
    }

    /// Gives the metrics back to the backend.
    func destroy() {
        for meter in meters.values { meter.destroy() }
        for (counter, _) in counters.values { counter.destroy() }
        for (counter, _) in secondsCounters.values { counter.destroy() }
        (meters, counters, secondsCounters) = ([:], [:], [:])
    }

    private func recordGoroutines(_ metrics: SchedulerMetrics) {
        set("csp_goroutines", metrics.running, ("state", "running"))
        set("csp_goroutines", metrics.runnable, ("state", "runnable"))
        reasons.formUnion(metrics.waiting.keys)
        for reason in reasons { set("csp_goroutines", metrics.waiting[reason] ?? 0, ("state", reason)) }
        count("csp_goroutines_started_total", metrics.goroutinesStarted)
    }

    private func recordProcessors(_ metrics: SchedulerMetrics) {
        set("csp_processors", metrics.processors.count)
        set("csp_idle_processors", metrics.processors.count { $0.isIdle })
        set("csp_global_run_queue_length", metrics.globalQueue)
        for processor in metrics.processors {
            let dimension = ("processor", "\(processor.index)")
            set("csp_run_queue_length", processor.queued, dimension)
            count("csp_switches_total", processor.switches, dimension)
        }
        count("csp_steals_total", metrics.steals)
        count("csp_stolen_goroutines_total", metrics.stolenGoroutines)
        count("csp_wakeups_total", metrics.wakeups)
        count("csp_hand_offs_total", metrics.handOffs)
    }

    private func set(_ name: String, _ value: Int, _ dimension: (String, String)? = nil) {
        let key = Key(name: name, dimension: dimension?.0 ?? "", value: dimension?.1 ?? "")
        let meter =
            meters[key] ?? Meter(label: name, dimensions: dimension.map { [$0] } ?? [], factory: factory)
        meters[key] = meter
        meter.set(value)
    }

    /// A counter takes what has come since the last time, the first time all that was since the program's start.
    private func count(_ name: String, _ value: UInt64, _ dimension: (String, String)? = nil) {
        let key = Key(name: name, dimension: dimension?.0 ?? "", value: dimension?.1 ?? "")
        let known =
            counters[key] ?? (Counter(label: name, dimensions: dimension.map { [$0] } ?? [], factory: factory), 0)
        // Of several looks at a number that others change, a later one may be behind.
        if value > known.recorded { known.counter.increment(by: Int64(clamping: value - known.recorded)) }
        counters[key] = (known.counter, max(value, known.recorded))
    }

    private func count(_ name: String, seconds duration: Duration) {
        let key = Key(name: name, dimension: "", value: "")
        let value = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        let known = secondsCounters[key] ?? (FloatingPointCounter(label: name, factory: factory), 0)
        if value > known.recorded { known.counter.increment(by: value - known.recorded) }
        secondsCounters[key] = (known.counter, max(value, known.recorded))
    }
}
