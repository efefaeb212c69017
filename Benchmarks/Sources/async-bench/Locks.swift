import Synchronization

// The workloads that share memory under a lock: Swift's own mutex, from eight tasks.

func mutexUncontended() async -> Double {
    let rounds = 50_000_000
    let counter = Mutex(0)
    let result = await nanoseconds(per: rounds) {
        for _ in 0..<rounds { counter.withLock { $0 += 1 } }
    }
    check(counter.withLock { $0 } == rounds)
    return result
}

func mutexContended() async -> Double {
    let roundsEach = 500_000
    let counter = Shared(0)
    let result = await byEight(roundsEach) { _ in
        for _ in 0..<roundsEach { counter.value.withLock { $0 += 1 } }
    }
    check(counter.value.withLock { $0 } == 8 * roundsEach)
    return result
}

/// There is no concurrent map: a dictionary under a mutex.
func mapRead() async -> Double {
    let map = Shared(Dictionary(uniqueKeysWithValues: (0..<1000).map { ($0, $0) })), roundsEach = 500_000
    return await byEight(roundsEach) { first in
        var key = first * 100
        for _ in 0..<roundsEach {
            check(map.value.withLock { $0[key]! } == key)
            key = key == 999 ? 0 : key + 1
        }
    }
}

func mapMixed() async -> Double {
    let map = Shared(Dictionary(uniqueKeysWithValues: (0..<1000).map { ($0, $0) })), roundsEach = 500_000
    return await byEight(roundsEach) { first in
        var key = first * 100
        for round in 0..<roundsEach {
            switch round % 10 {
            case 4: map.value.withLock { $0[key] = key }
            case 9: map.value.withLock { $0[key] = nil }
            default: check(map.value.withLock { $0[key] } ?? key == key)
            }
            key = (key + 7) % 1000
        }
    }
}

/// A mutex that closures can capture.
private final class Shared<Value: Sendable>: Sendable {
    let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
}

private func byEight(_ operations: Int, _ body: @escaping @Sendable (Int) -> Void) async -> Double {
    await nanoseconds(per: 8 * operations) {
        await withDiscardingTaskGroup { group in
            for task in 0..<8 { group.addTask { body(task) } }
        }
    }
}
