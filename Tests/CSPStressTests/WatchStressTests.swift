import CSP
import CSPTesting
import Dispatch
import Foundation
import Testing

extension StressTests {
    /// Whoever watches comes and goes, while goroutines do everything that can be watched. What is switched on and off is the whole process's, so not beside the tests of CSPDebug: CI's
    /// stages tsan and fallbacks have it, which set CSP_STRESS, and `make stress`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["CSP_STRESS"] != nil)) func watchersComeAndGo() {
        stress(rounds: 1, stressedRounds: 12) { random in
            let stop = SharedAtomic(0), workers = WaitGroup(), lock = Mutex(0)
            for seed in 0..<5 {
                var own = SeededGenerator(seed: random.next() &+ UInt64(seed))
                workers.go("churn \(seed)") {
                    while stop.load() == 0 { churnMore(&own, lock) }
                }
            }
            everywhere(goroutines: 2, threads: 2, &random) { random in
                for _ in 0..<12 { watch(&random) }
            }
            everywhere(goroutines: 0, threads: 1, &random) { _ in traceOnce() }
            Scheduler.measuresWaiting = false
            Scheduler.blockProfilePeriod = nil
            Scheduler.mutexProfileFraction = 0
            FlightRecorder.stop()
            #expect(!Trace.isOn)
            stop.store(1)
            workers.wait()
        }
    }
}

/// What leaves its stack in other ways than `churn`.
private func churnMore(_ random: inout SeededGenerator, _ lock: Mutex<Int>) {
    switch random.next() % 6 {
    case 0: for _ in 0..<20 { lock.withLock { $0 += 1 } }
    case 1: Goroutine.withLockedThread { Time.sleep(for: .microseconds(20)) }
    case 2: _ = blocking { usleep(20) }
    case 3:
        try? withVirtualTime { _ in
            let values = Channel<Int>()
            go { values.send(1) }
            Time.sleep(for: .seconds(1))
            _ = values.receive()
        }
    case 4:
        let values = Channel<Int>(capacity: 1)
        go { Trace.withRegion("region") { values.send(1) } }
        select {
            Receive(values) { _ in }
            After(.microseconds(30)) {}
        }
    default: churn(&random)
    }
}

private func watch(_ random: inout SeededGenerator) {
    switch random.next() % 8 {
    case 0: Scheduler.measuresWaiting.toggle()
    case 1: Scheduler.blockProfilePeriod = random.next() % 2 == 0 ? nil : .microseconds(1)
    case 2: Scheduler.mutexProfileFraction = Int(random.next() % 3)
    case 3: FlightRecorder.start(keeping: .milliseconds(50), bytes: Int(random.next() % 4) << 17)
    case 4: FlightRecorder.stop()
    case 5: traceOnce()
    case 6: try? CPUProfilerOnce.run()
    default:
        let metrics = Scheduler.metrics
        #expect(metrics.goroutines > 0 && !metrics.processors.isEmpty)
        #expect(EventProfile.block.snapshot.allSatisfy { $0.count > 0 && $0.nanoseconds > 0 })
    }
    usleep(UInt32(random.next() % 2000))
}

private enum CPUProfilerOnce {
    static func run() throws {
        do throws(CPUProfiler.Failure) { _ = try CPUProfiler.run(for: .milliseconds(20)) } catch {
            guard case .busy = error else { throw error }
        }
    }
}

/// A trace of some milliseconds, unless somebody makes one; the file must be complete.
private func traceOnce() {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("stress-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    do throws(TraceFailure) {
        try Trace.start(writingTo: file.path)
        usleep(3000)
        try Trace.stop()
    } catch {
        if case .cannotWrite = error { Issue.record(error) }
        return
    }
    guard let bytes = try? Data(contentsOf: file),
        let trace = try? JSONSerialization.jsonObject(with: bytes) as? [String: Any]
    else {
        Issue.record("the trace is no JSON")
        return
    }
    #expect((trace["traceEvents"] as? [Any])?.isEmpty == false)
}
