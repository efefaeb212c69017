import CSP
import CSPMetrics
import CoreMetrics
import MetricsTestKit
import Testing

@Suite(.timeLimit(.minutes(5))) struct PublisherTests {
    private func eventually(_ condition: () -> Bool) async throws -> Bool {
        for _ in 0..<3_000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
        return condition()
    }

    /// Last recorded.
    private func value(_ metrics: TestMetrics, _ name: String, _ dimensions: [(String, String)] = []) -> Double? {
        (try? metrics.expectMeter(name, dimensions))?.lastValue
    }

    @Test func recordsAtOnceAndAgain() async throws {
        let metrics = TestMetrics()
        let publisher = SchedulerMetrics.publish(every: .milliseconds(5), to: metrics)
        #expect(try await eventually { value(metrics, "csp_processors") ?? 0 >= 1 })
        let quit = Channel<Never>(), all = WaitGroup()
        for _ in 0..<25 { all.go { quit.receive() } }
        let receiving = [("state", "chan receive")]
        #expect(try await eventually { value(metrics, "csp_goroutines", receiving) ?? 0 >= 25 })
        #expect(try await eventually { metrics.counterTotal(label: "csp_goroutines_started_total") >= 25 })
        #expect(value(metrics, "csp_run_queue_length", [("processor", "0")]) != nil)
        #expect(value(metrics, "csp_threads") ?? 0 >= 1)
        quit.close()
        try await all.wait()
        await publisher.stop()
    }

    /// Increments come to what the scheduler says, also after several recordings.
    @Test func countersCountOnce() async throws {
        let metrics = TestMetrics()
        let before = Scheduler.metrics.goroutinesStarted
        let publisher = SchedulerMetrics.publish(every: .milliseconds(1), to: metrics)
        let name = "csp_goroutines_started_total"
        #expect(
            try await eventually {
                metrics.counters(label: name).first.map { $0.values.count > 3 } ?? false || started()
            })
        let total = metrics.counterTotal(label: name)
        #expect(total >= Int64(before) && total <= Int64(Scheduler.metrics.goroutinesStarted))
        await publisher.stop()
    }

    /// One more goroutine, so that there is something to record.
    private func started() -> Bool {
        go {}
        return false
    }

    @Test func stopEndsTheRecordingAndGivesTheMetricsBack() async throws {
        let metrics = TestMetrics()
        let publisher = SchedulerMetrics.publish(every: .milliseconds(1), to: metrics)
        #expect(try await eventually { value(metrics, "csp_timers") != nil })
        await publisher.stop()
        await publisher.stop()
        #expect(metrics.counters.isEmpty && metrics.meters.isEmpty)
    }

    @Test func stopsFromAGoroutine() async throws {
        let metrics = TestMetrics()
        let publisher = SchedulerMetrics.publish(every: .seconds(3600), to: metrics)
        await Goroutine.run { publisher.stop() }
        #expect(metrics.meters.isEmpty)
    }
}
