import CSP

extension SplitMix64 {
    mutating func duration(upTo microseconds: Int) -> Duration { .microseconds(below(microseconds + 1)) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    /// Uniform in 0..<bound.
    mutating func below(_ bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }
}

/// What one end of a connection does, and what may go wrong with it. Each direction ends when its writers have: so one half ends before the other.
struct EndPlan: Sendable {
    enum Violence {
        case none
        /// Closes from another goroutine, while this end reads and writes; with a reset, if possible.
        case close(after: Duration, reset: Bool)
        /// The same from its own reader, once so many frames have come.
        case closeAtFrame(Int, reset: Bool)
        /// Reads no more from there on.
        case closeReadingAtFrame(Int)
    }
    enum WriteLimit {
        case none
        case deadline(Duration), context(Duration)
    }
    enum Reading {
        case plain
        /// Waits that are ended again and again, and go on: nothing is lost by that.
        case deadlines, contexts, cancellations, tasks
    }

    /// For each writer how many.
    let frames: [Int]
    let violence: Violence
    let writeLimit: WriteLimit
    let reading: Reading
    /// Where it stops reading for some time.
    let stall: (frame: Int, length: Duration)?

    init(_ random: inout SplitMix64) {
        let writers = random.chance(70) ? 1 : 2 + random.below(2)
        let most = [2, 10, 40][random.below(3)]
        frames = (0..<writers).map { _ in random.below(most) }
        let microseconds = [200, 2_000, 20_000][random.below(3)]
        switch random.below(20) {
        case 0, 1: violence = .close(after: random.duration(upTo: microseconds), reset: random.chance(50))
        case 2: violence = .closeAtFrame(random.below(most), reset: random.chance(70))
        case 3: violence = .closeReadingAtFrame(random.below(most))
        default: violence = .none
        }
        switch random.below(20) {
        case 0: writeLimit = .deadline(random.duration(upTo: microseconds))
        // With several writers another one might go on behind what the first has written in part.
        case 1 where writers == 1: writeLimit = .context(random.duration(upTo: microseconds))
        default: writeLimit = .none
        }
        let ways: [Reading] = [.plain, .plain, .plain, .deadlines, .contexts, .cancellations, .tasks]
        reading = ways[random.below(ways.count)]
        stall = random.chance(15) ? (random.below(most), random.duration(upTo: microseconds)) : nil
    }

    /// Whether it may end the connection early.
    var isViolent: Bool {
        if case .none = violence, case .none = writeLimit { false } else { true }
    }
}

/// A connection, as its two ends know it beforehand.
final class Transfer: Sendable {
    let key: UInt64
    let client: EndPlan
    let server: EndPlan

    init(_ random: inout SplitMix64) {
        key = random.next()
        client = EndPlan(&random)
        server = EndPlan(&random)
    }
}
