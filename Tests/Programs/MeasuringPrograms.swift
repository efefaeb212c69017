import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Programs that measure themselves and print what they found, as "name value" lines.
let measuringPrograms: [String: @Sendable () -> Void] = [
    "maps-that-go": {
        func fill() {
            let map = ConcurrentMap<Int, Int>()
            for key in 0..<20_000 { map[key] = key }
        }
        for _ in 0..<10 { fill() }
        let before = peakKilobytes()
        // 600 KB of tables each.
        for _ in 0..<100 { fill() }
        print("kilobytes", peakKilobytes() - before)
    },
    "parked-100000": { parkAndWake(100_000) },
    "parked-1000000": { parkAndWake(1_000_000) },
    "chain-100000": {
        let first = Channel<Int>()
        var last = first
        for _ in 0..<100_000 {
            let next = Channel<Int>()
            go { [last] in next <- (<-last)! + 1 }
            last = next
        }
        first <- 0
        print("value", (<-last)!)
    },
    "idle": {
        let gate = Channel<Never>()
        for _ in 0..<10_000 { go { gate.receive() } }
        // Past the time after which everything must have gone to sleep.
        sleep(1)
        let before = usage()
        sleep(5)
        let after = usage()
        print("cpu-microseconds", after.microseconds - before.microseconds)
        print("switches", after.switches - before.switches)
    },
]

private func parkAndWake(_ count: Int) {
    let gate = Channel<Never>()
    let parked = SharedAtomic(0), finished = WaitGroup()
    for _ in 0..<count {
        finished.go {
            parked.add(1)
            gate.receive()
        }
    }
    while parked.load() < count { Time.sleep(for: .milliseconds(1)) }
    print("goroutines", Goroutine.count)
    gate.close()
    finished.wait()
    print("peak-kilobytes", peakKilobytes())
    print("maps", mapCount())
}

/// How many memory maps this process has.
private func mapCount() -> Int {
    // SAFETY: a file of our own, closed at the end; the buffer lives through each call.
    guard let file = unsafe fopen("/proc/self/maps", "r") else { return -1 }
    defer { unsafe fclose(file) }
    var lines = 0
    while true {
        let character = unsafe getc(file)
        if character == EOF { return lines }
        if character == 10 { lines += 1 }
    }
}

private func usage() -> (microseconds: Int, switches: Int) {
    var usage = rusage()
    // SAFETY: `usage` lives through the call.
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    return (
        seconds * 1_000_000 + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec), usage.ru_nvcsw + usage.ru_nivcsw
    )
}

/// The most memory that this program has had. Not getrusage's, which counts what the process had before it became this program: the tests' own.
func peakKilobytes() -> Int {
    var found = 0
    // SAFETY: the line has room for what fgets is told, which ends it with a zero.
    guard let file = unsafe fopen("/proc/self/status", "r") else { return 0 }
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { line in
        while let text = unsafe fgets(line.baseAddress!, 256, file) {
            // "VmHWM:     1234 kB"
            let words = unsafe String(cString: text).split { $0 == " " || $0 == "\t" }
            if words.first == "VmHWM:" { found = Int(words[1])! }
        }
    }
    unsafe fclose(file)
    return found
}
