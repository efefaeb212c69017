import CSP

/// `/metrics`.
enum MetricsText {
    static func response() async -> DebugResponse {
        let metrics = await OwnThread.run { Scheduler.metrics }
        return DebugResponse(contentType: PrometheusText.contentType, text: text(metrics))
    }

    static func text(_ metrics: SchedulerMetrics) -> String {
        var text = PrometheusText()
        addGoroutines(metrics, to: &text)
        addProcessors(metrics, to: &text)
        addResources(metrics, to: &text)
        addWaiting(metrics, to: &text)
        return text.text
    }

    private static func addGoroutines(_ metrics: SchedulerMetrics, to text: inout PrometheusText) {
        // One label, with the words of dumps: so that the sum is the number of goroutines.
        var states = [("running", metrics.running), ("runnable", metrics.runnable)]
        states += metrics.waiting.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        text.add(
            .gauge, "csp_goroutines", "Goroutines by state: running, runnable, or what they wait for.",
            states.map { ([("state", $0.0)], Double($0.1)) })
        text.add(
            .counter, "csp_goroutines_started_total", "Goroutines that were started.", metrics.goroutinesStarted)
    }

    private static func addProcessors(_ metrics: SchedulerMetrics, to text: inout PrometheusText) {
        func each(_ value: (SchedulerMetrics.Processor) -> Double) -> [(PrometheusText.Labels, Double)] {
            metrics.processors.map { ([("processor", "\($0.index)")], value($0)) }
        }
        text.add(
            .gauge, "csp_processors", "Processors (Ps): goroutines that can run at once.", metrics.processors.count)
        text.add(
            .gauge, "csp_idle_processors", "Processors that have nothing to run.",
            metrics.processors.count { $0.isIdle })
        text.add(
            .gauge, "csp_run_queue_length", "Runnable goroutines in a processor's queue.", each { Double($0.queued) })
        text.add(
            .gauge, "csp_global_run_queue_length", "Runnable goroutines in the queue of all processors.",
            metrics.globalQueue)
        text.add(
            .counter, "csp_switches_total", "Switches from one goroutine to the next on a processor.",
            each { Double($0.switches) })
        text.add(.counter, "csp_steals_total", "Times a processor took goroutines from another.", metrics.steals)
        text.add(
            .counter, "csp_stolen_goroutines_total", "Goroutines that were taken from another processor.",
            metrics.stolenGoroutines)
        text.add(.counter, "csp_wakeups_total", "Times a sleeping worker was woken.", metrics.wakeups)
        text.add(
            .counter, "csp_hand_offs_total", "Times a blocked or computing thread's processor went to another thread.",
            metrics.handOffs)
    }

    private static func addResources(_ metrics: SchedulerMetrics, to text: inout PrometheusText) {
        text.add(.gauge, "csp_threads", "Worker threads (Ms).", metrics.threads)
        text.add(.gauge, "csp_idle_threads", "Worker threads that sleep.", metrics.idleThreads)
        text.add(.gauge, "csp_timers", "Timers that are set.", metrics.timers)
        text.add(
            .gauge, "csp_polled_descriptors", "Descriptors that are with the network poller.",
            metrics.polledDescriptors)
        text.add(
            .gauge, "csp_awaited_descriptors", "Descriptors for which somebody waits.", metrics.waitingForDescriptors)
        text.add(.gauge, "csp_stacks", "Stacks that goroutines have.", metrics.stacks)
        text.add(.gauge, "csp_free_stacks", "Stacks kept for the next goroutines.", metrics.freeStacks)
        text.add(
            .gauge, "csp_stack_bytes", "Memory that stacks take; 0 where the kernel does not tell.", metrics.stackBytes)
    }

    private static func addWaiting(_ metrics: SchedulerMetrics, to text: inout PrometheusText) {
        text.addHistogram(
            "csp_scheduling_latency_seconds",
            "How long goroutines were runnable before they ran, while it is measured.",
            bounds: metrics.latency.bounds, counts: metrics.latency.counts, sum: metrics.latency.sum)
        text.add(
            .counter, "csp_contentions_total", "Waits for a mutex or another lock, while they are measured.",
            metrics.contentions)
        text.add(
            .counter, "csp_contention_seconds_total", "Time that was waited for locks, while it is measured.",
            metrics.contentionTime)
    }
}
