import Foundation
import ProgramRunner
import Testing

/// Metrics and profiles, each in a process of its own.
@Suite struct ProfileTests {
    @Test func metricsTellWhatThereIs() throws {
        let ending = try program("metrics", environment: ["CSP_MAXPROCS": "2"])
        #expect(try ending.number("receivers") == 7)
        // Those that are done may still be on their way out.
        #expect((7...10).contains(try ending.number("goroutines")))
        #expect(try ending.number("started") == 10)
        #expect(try ending.number("processors") == 2)
        #expect(try ending.number("switches") >= 150)
        #expect((7...10).contains(try ending.number("stacks")))
        #expect(try ending.number("stackBytes") >= 7 * 4096)
        #expect(try ending.number("timers") == 1)
        #expect((1...100).contains(try ending.number("threads")))
        #expect(try ending.number("wakeups") >= 1)
    }

    @Test func waitingIsMeasuredWhileThatIsWanted() throws {
        let ending = try program("metrics", environment: ["CSP_MAXPROCS": "2"])
        // Three goroutines that hold a lock 50 times, and sleep meanwhile: somebody waits nearly always.
        #expect((10...150).contains(try ending.number("contentions")))
        let contentions = try ending.number("contentions"), time = try ending.number("contentionMicroseconds")
        #expect(time >= contentions * 10)
        #expect(try ending.number("latencies") >= 150)
        #expect(try ending.number("later") == 0)
    }

    /// Lines of printProfile.
    private func lines(_ ending: Ending) -> [(count: Int, microseconds: Int, stack: String)] {
        ending.output.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ", maxSplits: 2)
            guard parts.count == 3, let count = Int(parts[0]), let time = Int(parts[1]) else { return nil }
            return (count, time, String(parts[2]))
        }
    }

    @Test func theBlockProfileTellsWhereGoroutinesWait() throws {
        let found = lines(try program("block-profile"))
        let slow = try #require(found.first { $0.stack.contains("waitSlowly(_:)") }, "\(found)")
        #expect(slow.count == 1 && slow.microseconds >= 50_000)
        // Each way waits about once for each of a thousand.
        #expect(found.filter { $0.stack.contains("pingPong") }.map(\.count).reduce(0, +) >= 1000)
        // Sleeping is not being blocked by others.
        #expect(!found.contains { $0.stack.contains("Time.sleep") })
    }

    @Test func theMutexProfileTellsWhoHoldsALock() throws {
        let ending = try program("mutex-profile")
        let found = lines(ending)
        #expect(!found.isEmpty && found.allSatisfy { $0.stack.contains("holdForLong") }, "\(ending)")
        // Thirty times a millisecond during which one or two others wait.
        #expect(found.map(\.count).reduce(0, +) >= 15)
        #expect(found.map(\.microseconds).reduce(0, +) >= 15_000)
    }

    @Test func theCPUProfileDividesTimeAsTheProgramDoes() throws {
        let ending = try program("cpu-profile")
        let all = try ending.number("samples"), one = try ending.number("one"), three = try ending.number("three")
        let labelled = try ending.number("labelled"), lost = try ending.number("lost")
        #expect(all >= 50 && lost == 0, "\(ending)")
        #expect(labelled * 10 >= all * 9)
        // A quarter and three quarters; 100 samples have a deviation of 4 %.
        #expect(Double(three) / Double(one + three) > 0.55 && Double(three) / Double(one + three) < 0.92, "\(ending)")
        #expect((one + three) * 10 >= all * 9)
    }

    @Test func anotherProfilerIsRespected() throws {
        let ending = try program("cpu-profile-busy")
        #expect(ending.output == "some other profiler of this process handles SIGPROF; stop that one first\nlost 0\n")
    }
}
