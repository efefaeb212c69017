import CSP
import Foundation
import Testing

/// The scheduler's queues against arrays, and that none of what goes through them is lost or comes twice.
@Suite(.serialized) struct RunQueueModelTests {
    /// Two processors and a global queue, by one caller at random.
    @Test func queuesAreWhatArraysAre() {
        let goroutines = TestedGoroutines(4096)
        for round in 0..<(stressing ? 400 : 20) {
            let seed = firstSeed &+ UInt64(round)
            var random = SeededGenerator(seed: seed)
            // Some begin just before the indices wrap.
            let first = round % 2 == 0 ? 0 : UInt32.max - UInt32.random(in: 0..<2000, using: &random)
            var queues = QueuesAndArrays(goroutines, indicesFrom: first)
            for step in 0..<3000 where !queues.step(&random) {
                Issue.record("CSP_SEED=\(seed), step \(step): \(queues.last)")
                return
            }
        }
    }

    /// A processor's worker pushes and pops, others steal. Each goroutine is taken once, and the owner takes them in order.
    @Test func thievesTakeEachGoroutineOnce() {
        let total = 20_000
        let goroutines = TestedGoroutines(total)
        for round in 0..<(stressing ? 200 : 10) {
            let seed = firstSeed &+ UInt64(round)
            var random = SeededGenerator(seed: seed)
            let owner = TestedProcessor(goroutines, indicesFrom: UInt32.max - 10_000)
            let taken = (0..<total).map { _ in SharedAtomic(0) }, isDone = SharedAtomic(0)
            everywhere(goroutines: 0, threads: 3, &random) { index, random in
                if index > 0 {
                    steal(from: owner, goroutines, taken, until: isDone)
                } else {
                    let isOrdered = pushAndPop(total, owner, taken, &random)
                    #expect(isOrdered, "CSP_SEED=\(seed)")
                    isDone.store(1)
                }
            }
            #expect(taken.allSatisfy { $0.load() == 1 }, "CSP_SEED=\(seed)")
        }
    }

    /// Threads append and take at once. Each goroutine is taken once, and those of one thread in order.
    @Test func theGlobalQueueLosesNothing() {
        let threads = 3, perThread = 6_000
        let goroutines = TestedGoroutines(threads * perThread)
        for round in 0..<(stressing ? 200 : 10) {
            let seed = firstSeed &+ UInt64(round)
            var random = SeededGenerator(seed: seed)
            let queue = TestedGlobalQueue(goroutines)
            // Ours, since ThreadSanitizer does not see what the standard library's orders.
            let taken = Mutex<[[Int]]>([])
            everywhere(goroutines: 0, threads: threads, &random) { index, random in
                var next = index * perThread, own: [Int] = []
                let end = next + perThread
                while next < end {
                    let count = min(end - next, Int.random(in: 1...40, using: &random))
                    queue.append(Array(next..<next + count))
                    next += count
                    own += queue.take(Int.random(in: 0...30, using: &random))
                }
                taken.withLock { $0.append(own) }
            }
            var all = taken.withLock { $0 }
            all.append(queue.take(.max))
            #expect(queue.count == 0)
            #expect(all.joined().sorted() == Array(0..<threads * perThread), "CSP_SEED=\(seed)")
            for own in all {
                for thread in 0..<threads {
                    let some = own.filter { $0 / perThread == thread }
                    #expect(some == some.sorted(), "CSP_SEED=\(seed)")
                }
            }
        }
    }
}

/// Pushes all, now and then a section's worth, and pops some. Returns whether what it popped came in order.
private func pushAndPop(
    _ total: Int, _ owner: TestedProcessor, _ taken: [SharedAtomic<Int>], _ random: inout SeededGenerator
) -> Bool {
    var next = 0, last = -1, isOrdered = true
    while next < total || !owner.inSection({ owner.isEmpty }) {
        let pushes = Int(random.next() % 4), pops = Int(random.next() % 4)
        owner.inSection {
            for _ in 0..<pushes where next < total && owner.push(next) { next += 1 }
            for _ in 0..<pops {
                guard let one = owner.pop() else { break }
                if one <= last { isOrdered = false }
                last = one
                taken[one].add(1)
            }
        }
        // A claim succeeds only between sections.
        if random.next() % 16 == 0 { Goroutine.yield() }
    }
    return isOrdered
}

/// Takes from the owner's queue into one of its own, until the owner has taken the rest.
private func steal(
    from owner: TestedProcessor, _ goroutines: TestedGoroutines, _ taken: [SharedAtomic<Int>],
    until isDone: SharedAtomic<Int>
) {
    let own = TestedProcessor(goroutines)
    while isDone.load() == 0 {
        let count = own.inSection {
            var next = own.steal(from: owner), count = 0
            while let one = next {
                taken[one].add(1)
                count += 1
                next = own.pop()
            }
            return count
        }
        if count == 0 { Goroutine.yield() }
    }
}

/// The queues, and what they should be.
private struct QueuesAndArrays {
    private let processors: [TestedProcessor]
    private let global: TestedGlobalQueue
    private var arrays: [[Int]] = [[], []]
    private var globalArray: [Int] = []
    private var free: [Int]
    /// What was done last.
    private(set) var last = ""

    init(_ goroutines: TestedGoroutines, indicesFrom first: UInt32) {
        processors = [TestedProcessor(goroutines, indicesFrom: first), TestedProcessor(goroutines)]
        global = TestedGlobalQueue(goroutines)
        free = Array(0..<4096)
    }

    /// Does something at random. False when it was not what the arrays say.
    mutating func step(_ random: inout SeededGenerator) -> Bool {
        let queue = Int.random(in: 0..<2, using: &random)
        let isRight =
            switch Int.random(in: 0..<12, using: &random) {
            case 0...4: push(Int.random(in: 1...120, using: &random), queue)
            case 5...7: pop(Int.random(in: 1...100, using: &random), queue)
            case 8...9: steal(queue, allBut: Int.random(in: 0...100, using: &random))
            case 10: append(Int.random(in: 0...300, using: &random))
            default: take(Int.random(in: 0...400, using: &random))
            }
        return isRight && processors[queue].count == arrays[queue].count && global.count == globalArray.count
            && processors[queue].isEmpty == arrays[queue].isEmpty
    }

    /// As a processor enqueues: half of a full queue goes to the global one.
    private mutating func push(_ count: Int, _ queue: Int) -> Bool {
        last = "push \(count) to \(arrays[queue].count)"
        for _ in 0..<count {
            guard let one = free.popLast() else { return true }
            let isFull = arrays[queue].count == TestedProcessor.capacity
            if processors[queue].push(one) == isFull { return false }
            if isFull {
                processors[queue].moveHalf(to: global, and: one)
                globalArray += arrays[queue].prefix(arrays[queue].count / 2) + [one]
                arrays[queue].removeFirst(arrays[queue].count / 2)
            } else {
                arrays[queue].append(one)
            }
        }
        return true
    }

    private mutating func pop(_ count: Int, _ queue: Int) -> Bool {
        last = "pop \(count) of \(arrays[queue].count)"
        for _ in 0..<count {
            let one = processors[queue].pop()
            if one != arrays[queue].first { return false }
            guard let one else { return true }
            arrays[queue].removeFirst()
            free.insert(one, at: 0)
        }
        return true
    }

    /// The older half, rounded up, but none of the youngest; the last of them comes back, and the others are in the thief's queue.
    private mutating func steal(_ thief: Int, allBut youngest: Int) -> Bool {
        guard arrays[thief].isEmpty else { return true }
        let victim = 1 - thief
        last = "steal from \(arrays[victim].count), but not the last \(youngest)"
        let stolen = processors[thief].inSection { processors[thief].steal(from: processors[victim], allBut: youngest) }
        let count = arrays[victim].count
        let taken = Array(arrays[victim].prefix(max(0, min(count - count / 2, count - youngest))))
        if stolen != taken.last { return false }
        arrays[victim].removeFirst(taken.count)
        arrays[thief] = taken.dropLast()
        if let stolen { free.insert(stolen, at: 0) }
        return processors[victim].count == arrays[victim].count
    }

    private mutating func append(_ count: Int) -> Bool {
        last = "append \(count) to \(globalArray.count)"
        let some = Array(free.suffix(count))
        free.removeLast(some.count)
        global.append(some)
        globalArray += some
        return true
    }

    private mutating func take(_ limit: Int) -> Bool {
        last = "take \(limit) of \(globalArray.count)"
        let taken = global.take(limit)
        if taken != Array(globalArray.prefix(limit)) { return false }
        globalArray.removeFirst(taken.count)
        free.insert(contentsOf: taken, at: 0)
        return true
    }
}
