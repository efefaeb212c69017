public import CSP
public import CoreMetrics
import Synchronization

extension SchedulerMetrics {
    /// Records the scheduler's numbers in swift-metrics, now and every `interval`, until the publisher is stopped.
    ///
    /// ```swift
    /// MetricsSystem.bootstrap(backend)
    /// let publisher = SchedulerMetrics.publish(every: .seconds(10))
    /// ```
    /// What can rise and fall is a gauge, what only grows a counter; times are in seconds. Of the scheduling latency the count and the sum are published, whose
    /// quotient is the mean: a backend's own histograms cannot take buckets that were counted elsewhere. Latency and contention are measured while
    /// `Scheduler.measuresWaiting` is true, as `DebugServer` makes it.
    ///
    /// A goroutine named "csp-metrics" does it, which takes part in deadlock detection as one that sleeps: a program that only has this one left is not deadlocked.
    ///
    /// - Parameters:
    ///   - interval: More than zero; otherwise it traps.
    ///   - factory: Where the metrics are recorded; by default where `MetricsSystem.bootstrap` said.
    public static func publish(
        every interval: Duration, to factory: (any MetricsFactory)? = nil
    ) -> SchedulerMetricsPublisher {
        precondition(interval > .zero, "SchedulerMetrics.publish: the interval must be more than zero")
        return SchedulerMetricsPublisher(every: interval, factory ?? MetricsSystem.factory)
    }
}

/// Records the scheduler's numbers until it is stopped. It goes on when nobody keeps the object.
public final class SchedulerMetricsPublisher: Sendable {
    private let quit = Channel<Never>()
    private let isOver = Channel<Never>()
    private let isStopped = Atomic(false)

    init(every interval: Duration, _ factory: any MetricsFactory) {
        let quit = quit, isOver = isOver
        go("csp-metrics") {
            let recorder = Recorder(factory)
            let ticker = Time.Ticker(interval)
            var isRunning = true
            while isRunning {
                recorder.record(Scheduler.metrics)
                select {
                    Receive(quit) { _ in isRunning = false }
                    Receive(ticker.channel) { _ in }
                }
            }
            ticker.stop()
            recorder.destroy()
            isOver.close()
        }
    }

    /// Ends the recording, and gives the metrics back to the backend. When it returns, nothing more is recorded. The second time only waits. Waits as a
    /// channel's `receive` does.
    @available(*, noasync)
    public func stop() {
        end()
        isOver.receive()
    }

    /// As `stop`, in a Swift task; one that is cancelled does not wait.
    public func stop() async {
        end()
        _ = try? await isOver.receive()
    }

    private func end() {
        if !isStopped.exchange(true, ordering: .relaxed) { quit.close() }
    }
}
