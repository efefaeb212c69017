import CSP
import Foundation

/// One increment by any of eight goroutines under one mutex.
///
/// The longest wait of each goroutine's goes to standard error, because a mutex that starves them would look fast.
func mutexContended(_ operations: Int) -> Double {
    let goroutines = 8, roundsEach = operations / 8
    let counter = CSP.Mutex(0), longest = CSP.Mutex(Duration.zero)
    let all = WaitGroup()
    let result = nanoseconds(per: goroutines * roundsEach) {
        for _ in 0..<goroutines {
            all.go {
                let clock = ContinuousClock()
                var worst = Duration.zero
                for round in 0..<roundsEach {
                    // Every one would measure the clock instead.
                    if round % 64 == 0 {
                        let start = clock.now
                        counter.withLock { $0 += 1 }
                        worst = max(worst, clock.now - start)
                    } else {
                        counter.withLock { $0 += 1 }
                    }
                }
                longest.withLock { $0 = max($0, worst) }
            }
        }
        all.wait()
    }
    check(counter.withLock { $0 } == goroutines * roundsEach)
    let note = "mutex-contended: the longest wait was \(longest.withLock { $0 } / .microseconds(1)) µs\n"
    FileHandle.standardError.write(Data(note.utf8))
    return result
}
