import ProgramRunner
import Testing

/// Many goroutines, each program in a process of its own.
@Suite struct ScaleTests {
    @Test func manyGoroutinesParkAndAreWokenByClose() throws {
        let count = stressing ? 1_000_000 : 100_000
        let ending = try program("parked-\(count)")
        #expect(try ending.number("goroutines") >= count)
        // Far fewer than vm.max_map_count's usual 65530, guards included.
        #expect(try ending.number("maps") < 5_000)
        #if !DEBUG
            let kilobytes = try ending.number("peak-kilobytes")
            print("\(count) parked goroutines: \(kilobytes) kB at the peak")
            #expect(kilobytes < 5 * count + 100_000)
        #endif
    }

    @Test func mapsReturnTheirMemory() throws {
        #expect(try program("maps-that-go").number("kilobytes") < 20_000)
    }

    @Test func aValuePassesThroughAChain() throws {
        #expect(try program("chain-100000").number("value") == 100_000)
    }

    /// `CSP_BURST=200000 test-programs burst` takes 13 GB, more than every machine has to spare.
    @Test func theStacksOfABurstAreReturned() throws {
        let count = stressing ? 100_000 : 2_000
        let ending = try program("burst", environment: ["CSP_BURST": "\(count)"])
        print("burst of \(count): \(ending.output.replacing("\n", with: " ")) kB")
        #expect(try ending.number("burst") > count * 60, "\(ending)")
        #expect(try ending.number("after") < count + 20_000, "\(ending)")
        #expect(try ending.number("sum") == 120)
    }

    @Test func anIdleProcessUsesNoCPU() throws {
        let ending = try program("idle")
        print("10,000 parked goroutines, 5 s: \(ending.output.replacing("\n", with: " "))")
        #expect(try ending.number("cpu-microseconds") < 20_000)
        #expect(try ending.number("switches") < 50)
    }
}
