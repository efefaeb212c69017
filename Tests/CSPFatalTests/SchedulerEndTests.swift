import Foundation
import ProgramRunner
import Testing

/// Programs that end, or do not, because of what their goroutines wait for or use up.
@Suite struct SchedulerEndTests {
    @Test(arguments: [
        "deadlock-main", "deadlock-run", "deadlock-group", "deadlock-late", "deadlock-locked", "deadlock-select",
        "deadlock-after-thread", "deadlock-after-retirement",
    ])
    func allGoroutinesAsleepIsADeadlock(_ name: String) throws {
        let ending = try program(name)
        #expect(!ending.bySignal && ending.status == 2, "\(ending)")
        #expect(ending.errors.hasPrefix("fatal error: all goroutines are asleep - deadlock!\n\n"))
    }

    @Test func aDeadlockShowsEveryGoroutine() throws {
        let ending = try program("deadlock-group")
        #expect(ending.errors.components(separatedBy: "\"waiter\" [chan receive").count == 4, "\(ending)")
    }

    @Test(arguments: [
        "foreign-thread-sends", "task-sends", "begins-with-locals", "locked-sleeper-sends", "sleeper-sends",
        "timer-sends", "timer-runs",
        "blocked-sends", "blocking-sends",
        "many-in-turn",
    ])
    func whoeverMayStillBeWokenIsNoDeadlock(_ name: String) throws {
        let ending = try program(name)
        #expect(!ending.bySignal && ending.status == 0, "\(ending)")
        #expect(ending.output == "received 7\n")
    }

    @Test func tooManyThreadsIsFatal() throws {
        let ending = try program("too-many-threads")
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("fatal error: thread exhaustion: the program exceeds the limit of 8 threads"))
    }

    @Test func theThreadLimitMustBePositive() throws {
        let ending = try program("no-threads")
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("panic: Scheduler.maxThreads must be at least 1, not 0\n"))
    }

    @Test func aThreadThatCannotStartIsFatal() throws {
        let ending = try program("little-address-space")
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("fatal error: cannot start thread number "))
    }

    @Test func noAddressSpaceForStacksIsFatal() throws {
        let ending = try program("no-address-space")
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("fatal error: cannot reserve address space for goroutine stacks"))
    }

    /// With a limit that leaves room for less than what is usually reserved.
    @Test func lessAddressSpaceWillDo() throws {
        let ending = try program("less-address-space")
        #expect(!ending.bySignal && ending.status == 0, "\(ending)")
        #expect(ending.output == "ended 1000\n")
    }

    /// Each guard splits a mapping there.
    @Test func noMappingsForGuardsIsFatal() throws {
        let ending = try program("parked-100000", environment: ["CSP_STACK_GUARD": "mprotect"])
        let limit = try String(contentsOfFile: "/proc/sys/vm/max_map_count", encoding: .utf8)
        let most = Int(limit.filter(\.isNumber)) ?? 0
        #expect(ending.bySignal == (most < 200_000))
        if ending.bySignal {
            #expect(ending.errors.hasPrefix("fatal error: cannot protect the stack of another goroutine (errno 12)"))
            #expect(ending.errors.contains("raise sysctl vm.max_map_count"))
        }
    }

    @Test func threadsThatNobodyNeedsEnd() throws {
        let ending = try program("threads-come-and-go")
        #expect(!ending.bySignal && ending.status == 0, "\(ending)")
        #expect(try ending.number("most") >= 30)
        #expect(try ending.number("left") <= 10)
        #expect(try ending.number("again") >= 30)
    }

    @Test func theTraceIsOneLineEach() throws {
        let ending = try program("trace", environment: ["CSP_SCHEDTRACE": "100", "CSP_MAXPROCS": "2"])
        let lines = ending.errors.split(separator: "\n")
        #expect(lines.count >= 2, "\(ending)")
        for line in lines {
            #expect(
                line.contains(
                    /^SCHED [0-9]+ms: maxprocs=2 idleprocs=2 threads=[0-9]+ idlethreads=[0-9]+ goroutines=1 runqueue=0 \[0 0\]$/
                ))
        }
    }

    @Test(arguments: ["clock-watched", "clock-watched-by-who-lingers"])
    func somebodyAlwaysWatchesTheClock(_ name: String) throws {
        #expect(try program(name).output == "awake 1\n")
    }

    @Test(arguments: ["1", "40000", "1073741824"])
    func theUsualStackSizeIsAKnob(_ size: String) throws {
        let ending = try program("stack-overflow", environment: ["CSP_STACKSIZE": size])
        #expect(ending.errors.contains("fatal error: goroutine stack overflow"), "\(ending)")
    }

    @Test func aStackSizeOutOfRangeIsRefused() throws {
        let ending = try program("uses-the-runtime", environment: ["CSP_STACKSIZE": "1073741825"])
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("fatal error: CSP_STACKSIZE=1073741825: out of range (1 byte to 1 GiB)\n"))
    }

    /// Everything that has a fallback, without what it falls back from.
    @Test(arguments: ["deadlock-late", "many-in-turn", "blocked-sends"])
    func aKernelWithoutMembarrierWillDo(_ name: String) throws {
        let ending = try program(name, environment: ["CSP_MEMBARRIER": "off", "CSP_STACK_GUARD": "mprotect"])
        #expect(!ending.bySignal && ending.status == (name == "deadlock-late" ? 2 : 0), "\(ending)")
    }
}
