import CSP
import Foundation

/// One round trip of any of four ping-pong pairs beside eight goroutines that never wait, counted over one second.
///
/// What the eight got done goes to standard error, because pairs that starve them would look fast.
func mixed() -> Double {
    let stop = SharedAtomic(0), roundTrips = SharedAtomic(0), chunks = SharedAtomic(0)
    let elapsed = nanoseconds(per: 1) {
        let all = WaitGroup()
        for _ in 0..<8 {
            all.go {
                var count = 0
                var state: UInt64 = 1
                while stop.load() == 0 {
                    state = churn(state)
                    count += 1
                }
                check(state != 0)
                chunks.add(count)
            }
        }
        for _ in 0..<4 {
            all.go {
                let ping = Channel<Int>(), pong = Channel<Int>()
                go { for ball in ping { pong <- ball } }
                var count = 0
                while stop.load() == 0 {
                    ping <- count
                    <-pong
                    count += 1
                }
                ping.close()
                roundTrips.add(count)
            }
        }
        Time.sleep(for: .seconds(1))
        stop.store(1)
        all.wait()
    }
    let perRoundTrip = elapsed / Double(roundTrips.load()), perChunk = elapsed / Double(chunks.load())
    let note = "mixed: \(perRoundTrip) ns per round trip, \(perChunk) ns per CPU-bound chunk\n"
    FileHandle.standardError.write(Data(note.utf8))
    return perRoundTrip
}

/// Some microseconds of work that no compiler can shorten: a xorshift generator.
private func churn(_ state: UInt64) -> UInt64 {
    var state = state
    for _ in 0..<10_000 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
    }
    return state
}
