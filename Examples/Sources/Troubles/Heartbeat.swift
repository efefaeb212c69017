import CSP
import Foundation

/// Beats every 10 ms for a while, and has each beat logged. Returns the longest time between two.
public func beat(logCapacity: Int) -> Duration {
    let lines = Channel<String>(capacity: logCapacity), flushed = WaitGroup()
    flushed.go("logger") { keepLog(lines) }
    let longest = Goroutine.run("heartbeat") {
        let ticker = Time.Ticker(.milliseconds(10)), clock = ContinuousClock()
        defer { ticker.stop() }
        var last = clock.now, longest = Duration.zero
        for beat in 1...60 {
            _ = ticker.channel.receive()
            lines <- "beat \(beat)"
            longest = max(longest, last.duration(to: clock.now))
            last = clock.now
        }
        return longest
    }
    lines.close()
    flushed.wait()
    return longest
}

/// Every twentieth line the log is brought to the disk, and the disk is slow.
@inline(never)
private func keepLog(_ lines: Channel<String>) {
    var count = 0
    for _ in lines {
        count += 1
        if count % 20 == 0 { flush() }
    }
}

@inline(never)
private func flush() { Trace.withRegion("flush") { _ = usleep(150_000) } }
