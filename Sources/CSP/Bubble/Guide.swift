/// Chooses whose turn it is in a bubble: either at random each time, or by priorities that change at a few moments (probabilistic concurrency
/// testing: S. Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010), which finds bugs that need few
/// changes of goroutine, but at the right ones. Which of the two, and all else, follows from the seed.
///
/// The clock takes part: time may pass while goroutines could go on, as on a slow machine.
package struct Guide {
    package let seed: UInt64
    let mostSteps: Int
    var random: SplitMix64
    var trace = ExplorationTrace()
    /// Decided by a member that gave way for it.
    private var decided: Choice?
    private var strategy: Strategy
    /// Steps in a row by the same goroutine.
    private var streak = 0

    private enum Strategy {
        case randomWalk
        case priorities(Priorities)
    }

    private enum Choice {
        case time
        case goroutine(id: UInt64)
    }

    /// What comes next: the goroutine at a place in the list, or the next deadline.
    enum Turn {
        case time
        case goroutine(place: Int)
    }

    package init(seed: UInt64, mostSteps: Int) {
        self.seed = seed
        self.mostSteps = mostSteps
        random = SplitMix64(seed: seed)
        strategy = random.next() & 1 == 0 ? .randomWalk : .priorities(Priorities(&random))
    }

    mutating func meet(_ id: UInt64, name: String?) {
        trace.meet(id, name)
        if case .priorities(var priorities) = strategy {
            priorities.meet(id, &random)
            strategy = .priorities(priorities)
        }
    }

    /// Writes a step down. Returns how many there are.
    mutating func note(_ operation: Operation, _ object: AnyObject?, _ id: UInt64) -> Int {
        streak = trace.steps.last?.goroutine == trace.number(of: id) ? streak + 1 : 0
        trace.add(operation, object, id)
        let isUnfair = operation == .yield || streak % Self.longestStreak == Self.longestStreak - 1
        if case .priorities(var priorities) = strategy {
            priorities.step(id, isUnfair: isUnfair)
            strategy = .priorities(priorities)
        }
        return trace.steps.count
    }

    /// Who does so much in a row waits for others without saying so.
    private static var longestStreak: Int { 200 }

    mutating func noteTime(_ nanoseconds: Int64) { trace.addTime(nanoseconds) }

    /// Whether somebody else comes first, now that `caller` could go on.
    mutating func mustWait(_ caller: UInt64, others: [GoroutineRef], timers: Bool) -> Bool {
        if others.isEmpty && !timers { return false }
        let choice = choose(others.map { $0.cell.id } + [caller], timers)
        if case .goroutine(caller) = choice { return false }
        decided = choice
        return true
    }

    mutating func choose(from runnable: [GoroutineRef], timers: Bool) -> Turn {
        let choice = decided.take() ?? choose(runnable.map { $0.cell.id }, timers)
        switch choice {
        case .time: return .time
        case .goroutine(let id): return .goroutine(place: runnable.firstIndex { $0.cell.id == id }!)
        }
    }

    private mutating func choose(_ ids: [UInt64], _ timers: Bool) -> Choice {
        switch strategy {
        case .randomWalk:
            if timers, random.number(below: 8) == 0 { return .time }
            return .goroutine(id: ids[random.number(below: ids.count)])
        case .priorities(let priorities):
            if timers, random.number(below: 64) == 0 { return .time }
            return .goroutine(id: priorities.highest(of: ids))
        }
    }
}

/// Who goes first while he can; at a few steps, chosen beforehand, whoever is at it comes last from then on.
private struct Priorities {
    private var byID: [UInt64: Int] = [:]
    private var changes: Set<Int>
    private var steps = 0
    private var lowest = 0

    init(_ random: inout SplitMix64) {
        // How many steps there will be nobody knows: any order of magnitude up to some thousands is as likely.
        let range = 8 << random.number(below: 9)
        let count = 1 + random.number(below: 4)
        changes = []
        while changes.count < count { changes.insert(random.number(below: range)) }
    }

    mutating func meet(_ id: UInt64, _ random: inout SplitMix64) { byID[id] = 1 + random.number(below: 1 << 30) }

    mutating func step(_ id: UInt64, isUnfair: Bool) {
        if changes.contains(steps) || isUnfair {
            lowest -= 1
            byID[id] = lowest
        }
        steps += 1
    }

    func highest(of ids: [UInt64]) -> UInt64 { ids.max { byID[$0]! < byID[$1]! }! }
}
