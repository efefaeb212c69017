import CSP
import Testing

/// Among the ready cases each is as likely as the next. The bounds are so wide that a fair choice fails about once in
/// a million runs; a choice that favours one case by a fifth fails nearly always.
@Suite struct SelectFairnessTests {
    static let rounds = 6_000

    static func expectUniform(_ counts: [Int], sourceLocation: SourceLocation = #_sourceLocation) {
        let expected = Double(counts.reduce(0, +)) / Double(counts.count)
        let chiSquare = counts.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
        let freedom = Double(counts.count - 1)
        #expect(
            chiSquare < freedom + 8 * (2 * freedom).squareRoot() + 12, "counts \(counts)",
            sourceLocation: sourceLocation)
    }

    static func closedChannels(_ count: Int) -> [Channel<Int>] {
        (0..<count).map { _ in
            let channel = Channel<Int>()
            channel.close()
            return channel
        }
    }

    @Test func readyReceivesAreChosenUniformly() {
        inGoroutine {
            let channels = Self.closedChannels(4)
            var counts = [0, 0, 0, 0]
            for _ in 0..<Self.rounds {
                let place: Int = select {
                    Receive(channels[0]) { _ in 0 }
                    Receive(channels[1]) { _ in 1 }
                    Receive(channels[2]) { _ in 2 }
                    Receive(channels[3]) { _ in 3 }
                }
                counts[place] += 1
            }
            Self.expectUniform(counts)
        }
    }

    /// A choice that starts anywhere and takes the next ready one favours those that follow a gap.
    @Test func casesThatAreNotReadyDoNotSkewTheChoice() {
        inGoroutine {
            let ready = Self.closedChannels(2)
            let idle = Channel<Int>()
            var counts = [0, 0]
            for _ in 0..<Self.rounds {
                let place: Int = select {
                    Receive(ready[0]) { _ in 0 }
                    Receive(idle) { _ in -1 }
                    Send(1, to: idle) { -1 }
                    Receive(idle) { _ in -1 }
                    Receive(ready[1]) { _ in 1 }
                }
                counts[place] += 1
            }
            Self.expectUniform(counts)
        }
    }

    @Test func readySendsAndReceivesAreChosenUniformly() {
        inGoroutine {
            let closed = Self.closedChannels(1)[0]
            let room = Channel<Int>(capacity: Self.rounds)
            let other = Channel<Int>(capacity: Self.rounds)
            var counts = [0, 0, 0]
            for n in 0..<Self.rounds {
                let place: Int = select {
                    Send(n, to: room) { 0 }
                    Receive(closed) { _ in 1 }
                    Send(n, to: other) { 2 }
                }
                counts[place] += 1
            }
            Self.expectUniform(counts)
            #expect(room.count == counts[0])
            #expect(other.count == counts[2])
        }
    }

    @Test func arraysChooseUniformly() {
        inGoroutine {
            let channels = Self.closedChannels(9)
            var counts = Array(repeating: 0, count: 9)
            for _ in 0..<Self.rounds {
                let place = select(
                    channels.enumerated().map { place, channel in AnySelectCase(Receive(channel) { _ in place }) })
                counts[place] += 1
            }
            Self.expectUniform(counts)
        }
    }

    @Test func arraysWithIdleCasesChooseUniformly() {
        inGoroutine {
            let ready = Self.closedChannels(3)
            let idle = Channel<Int>()
            let places = [ready[0], idle, idle, idle, idle, ready[1], ready[2], idle]
            var counts: [Int: Int] = [:]
            for _ in 0..<Self.rounds {
                let place = select(
                    places.enumerated().map { place, channel in AnySelectCase(Receive(channel) { _ in place }) })
                counts[place, default: 0] += 1
            }
            #expect(Set(counts.keys) == [0, 5, 6])
            Self.expectUniform([0, 5, 6].map { counts[$0, default: 0] })
        }
    }

    @Test func oneChannelInSeveralCasesGivesEachItsShare() {
        inGoroutine {
            let channel = Self.closedChannels(1)[0]
            var counts = [0, 0, 0]
            for _ in 0..<Self.rounds {
                let place: Int = select {
                    Receive(channel) { _ in 0 }
                    Receive(channel) { _ in 1 }
                    Receive(channel) { _ in 2 }
                }
                counts[place] += 1
            }
            Self.expectUniform(counts)
        }
    }

    @Test func aThreadsSelectIsFairToo() {
        onThread {
            let channels = Self.closedChannels(2)
            var counts = [0, 0]
            for _ in 0..<Self.rounds {
                let place: Int = select {
                    Receive(channels[0]) { _ in 0 }
                    Receive(channels[1]) { _ in 1 }
                }
                counts[place] += 1
            }
            Self.expectUniform(counts)
        }
    }
}
