import CSP
import Testing

/// The heap of timers against a plain dictionary.
@Suite struct TimerHeapModelTests {
    /// More timers than are fired at once and than the heap has room for at first, and so few instants that many are due at the same one.
    @Test(arguments: [7, 100, 700]) func timersFireInOrder(count: Int) {
        for round in 0..<(stressing ? 1000 : 10) {
            let seed = firstSeed &+ UInt64(round)
            var random = SeededGenerator(seed: seed)
            var heap = HeapAndDictionary(count)
            for step in 0..<1500 where !heap.step(&random) {
                Issue.record("CSP_SEED=\(seed), step \(step): \(heap.last)")
                return
            }
        }
    }
}

/// The heap, and what it should be.
private struct HeapAndDictionary {
    private let heap: TestedTimerHeap
    private let count: Int
    private var timers: [Int: (deadline: Int64, period: Int64)] = [:]
    private var now: Int64 = 0
    /// What was done last.
    private(set) var last = ""

    init(_ count: Int) {
        self.count = count
        heap = TestedTimerHeap(count)
    }

    /// Does something at random. False when it was not what the dictionary says.
    mutating func step(_ random: inout SeededGenerator) -> Bool {
        let isRight =
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<60: insert(Int.random(in: 0..<count, using: &random), &random)
            case 60..<90: remove(Int.random(in: 0..<count, using: &random))
            case 90..<99: run(for: Int64.random(in: 0...20, using: &random))
            // All of them, which may be more than are fired at once.
            default: run(for: 2000)
            }
        return isRight && heap.earliest == (timers.values.map(\.deadline).min() ?? .max)
    }

    /// Also what is there already, for another time.
    private mutating func insert(_ number: Int, _ random: inout SeededGenerator) -> Bool {
        last = "insert \(number)"
        let wasThere = timers.removeValue(forKey: number) != nil
        if wasThere != heap.remove(number) { return false }
        let deadline = now + Int64.random(in: 0...1000, using: &random)
        let period = random.next() % 8 == 0 ? Int64.random(in: 1...50, using: &random) : 0
        timers[number] = (deadline, period)
        heap.insert(number, at: deadline, period: period)
        return true
    }

    private mutating func remove(_ number: Int) -> Bool {
        last = "remove \(number)"
        return heap.remove(number) == (timers.removeValue(forKey: number) != nil)
    }

    /// Each that fires is due, and none is due earlier. None that is due is left, unless very many have fired.
    private mutating func run(for some: Int64) -> Bool {
        now += some
        let fired = heap.run(at: now)
        last = "run at \(now): \(fired)"
        for number in fired {
            guard let timer = timers.removeValue(forKey: number), timer.deadline <= now,
                timers.values.allSatisfy({ $0.deadline >= timer.deadline })
            else { return false }
            if timer.period > 0 { timers[number] = (now + timer.period, timer.period) }
        }
        return fired.count == 512 || timers.values.allSatisfy { $0.deadline > now }
    }
}
