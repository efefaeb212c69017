import Testing

/// The check itself: what could have happened is accepted, and what could not have is refused.
@Suite struct ChannelHistoryTests {
    private func isPossible(
        _ capacities: [Int], _ operations: [ChannelOperation], _ events: [ChannelHistory.Event]
    ) -> Bool {
        ChannelHistory(capacities: capacities, operations: operations, events: events).firstError() == nil
    }

    /// One after the other.
    private func isPossible(_ capacities: [Int], _ steps: [(ChannelOperation, ChannelOutcome)]) -> Bool {
        let events = steps.enumerated().flatMap { [.call($0), .end($0, $1.1)] as [ChannelHistory.Event] }
        return isPossible(capacities, steps.map { $0.0 }, events)
    }

    @Test func aBufferKeepsValuesInOrder() {
        let sends = [(ChannelOperation.send(1, to: 0), ChannelOutcome.sent()), (.send(2, to: 0), .sent())]
        #expect(isPossible([2], sends + [(.receive(from: 0), .received(1)), (.receive(from: 0), .received(2))]))
        #expect(!isPossible([2], sends + [(.receive(from: 0), .received(2))]), "out of order")
        #expect(
            !isPossible([2], sends + [(.receive(from: 0), .received(1)), (.receive(from: 0), .received(1))]), "twice")
        #expect(!isPossible([2], sends + [(.receive(from: 0), .received(3))]), "from nowhere")
        #expect(!isPossible([2], sends + [(.tryReceive(from: 0), .byDefault)]), "default though a value was there")
        #expect(!isPossible([2], sends + [(.count(0), .counted(1))]), "lost")
        #expect(!isPossible([1], sends), "more than it holds")
        #expect(!isPossible([3], sends + [(.trySend(3, to: 0), .byDefault)]), "default though there was room")
    }

    @Test func closeComesBeforeNil() {
        #expect(isPossible([0], [(.close(0), .closed), (.receive(from: 0), .received(nil))]))
        #expect(!isPossible([0], [(.receive(from: 0), .received(nil)), (.close(0), .closed)]), "nil before close")
        #expect(!isPossible([0], [(.close(0), .closed), (.tryReceive(from: 0), .byDefault)]), "default though closed")
        #expect(!isPossible([0], [(.close(0), .closed), (.close(0), .closed)]), "closed twice")
        #expect(!isPossible([1], [(.close(0), .closed), (.send(1, to: 0), .sent())]), "sent on a closed one")
        let drained = [(ChannelOperation.send(1, to: 0), ChannelOutcome.sent()), (.close(0), .closed)]
        #expect(isPossible([1], drained + [(.receive(from: 0), .received(1)), (.receive(from: 0), .received(nil))]))
        #expect(!isPossible([1], drained + [(.receive(from: 0), .received(nil))]), "closed, but not drained")
    }

    @Test func unbufferedOnesMeet() {
        let both: [ChannelOperation] = [.send(1, to: 0), .receive(from: 0)]
        #expect(isPossible([0], both, [.call(0), .call(1), .end(0, .sent()), .end(1, .received(1))]))
        #expect(isPossible([0], both, [.call(1), .quiet, .call(0), .end(1, .received(1)), .end(0, .sent())]))
        #expect(
            !isPossible([0], both, [.call(0), .end(0, .sent()), .call(1), .end(1, .received(1))]), "before they met")
        #expect(!isPossible([0], [.trySend(1, to: 0)], [.call(0), .end(0, .sent())]), "with nobody")
        // Whether the receiver was in line yet nobody knows; after a quiet moment everybody does.
        let attempt: [ChannelOperation] = [.trySend(1, to: 0), .receive(from: 0)]
        #expect(isPossible([0], attempt, [.call(1), .call(0), .end(0, .byDefault)]))
        #expect(!isPossible([0], attempt, [.call(1), .quiet, .call(0), .end(0, .byDefault)]), "a receiver was in line")
    }

    @Test func nobodyWaitsWhoNeedNot() {
        #expect(isPossible([1], [.receive(from: 0)], [.call(0), .quiet]))
        #expect(!isPossible([1], [.send(1, to: 0)], [.call(0), .quiet]), "there is room")
        #expect(!isPossible([0], [.send(1, to: 0), .receive(from: 0)], [.call(0), .call(1), .quiet]), "they can meet")
        let three: [ChannelOperation] = [.receive(from: 0), .receive(from: 0), .close(0)]
        #expect(
            !isPossible([0], three, [.call(0), .call(1), .call(2), .end(2, .closed), .end(0, .received(nil)), .quiet]),
            "close wakes everybody")
        let moved: [ChannelOperation] = [.send(1, to: 0), .send(2, to: 0), .receive(from: 0)]
        let start: [ChannelHistory.Event] = [
            .call(0), .end(0, .sent()), .call(1), .quiet, .call(2), .end(2, .received(1)),
        ]
        #expect(isPossible([1], moved, start + [.end(1, .sent()), .quiet]))
        #expect(!isPossible([1], moved, start + [.quiet]), "a sender waits beside free room")
    }

    @Test func waitersAreServedInOrder() {
        let operations: [ChannelOperation] = [.receive(from: 0), .receive(from: 0), .send(1, to: 0)]
        let start: [ChannelHistory.Event] = [.call(0), .quiet, .call(1), .quiet, .call(2), .end(2, .sent())]
        #expect(isPossible([0], operations, start + [.end(0, .received(1)), .quiet]))
        #expect(!isPossible([0], operations, start + [.end(1, .received(1)), .quiet]), "the second one first")
        // Without a quiet moment in between nobody knows who was first.
        #expect(
            isPossible(
                [0], operations, [.call(0), .call(1), .call(2), .end(2, .sent()), .end(1, .received(1)), .quiet]))
    }

    @Test func aSelectTakesOneCase() {
        let either = ChannelOperation.choose([.receive(from: 0), .receive(from: 1)])
        let values = [(ChannelOperation.send(1, to: 0), ChannelOutcome.sent()), (.send(2, to: 1), .sent())]
        #expect(isPossible([1, 1], values + [(either, .received(place: 0, 1)), (.count(1), .counted(1))]))
        #expect(isPossible([1, 1], values + [(either, .received(place: 1, 2)), (.count(0), .counted(1))]))
        #expect(
            !isPossible([1, 1], values + [(either, .received(place: 0, 1)), (.count(1), .counted(0))]), "took both")
        #expect(!isPossible([1, 1], values + [(either, .received(place: 0, 2))]), "took the other case's value")
        #expect(!isPossible([1, 1], [(either, .received(place: 0, nil))]), "ready for no reason")

        let first = ChannelOperation.choose([.receive(from: 0), .receive(from: 1)], isPrioritized: true)
        #expect(isPossible([1, 1], values + [(first, .received(place: 0, 1))]))
        #expect(!isPossible([1, 1], values + [(first, .received(place: 1, 2))]), "the one below")

        let never = ChannelOperation.choose([.receive(from: nil), .send(1, to: nil)], hasDefault: true)
        #expect(isPossible([], [(never, .byDefault)]))
        #expect(!isPossible([], [(never, .sent(place: 1))]), "no channel")
    }

    /// A select that waits on two channels is completed on one of them, and nobody meets it on the other one afterwards.
    @Test func aSelectThatIsOverIsWithdrawn() {
        let operations: [ChannelOperation] = [
            .choose([.receive(from: 0), .receive(from: 1)]), .trySend(1, to: 0), .trySend(2, to: 1),
        ]
        let start: [ChannelHistory.Event] = [.call(0), .quiet, .call(1), .end(1, .sent()), .call(2)]
        #expect(isPossible([0, 0], operations, start + [.end(2, .byDefault), .end(0, .received(place: 0, 1))]))
        #expect(
            !isPossible([0, 0], operations, start + [.end(2, .sent()), .end(0, .received(place: 0, 1))]), "two cases")
    }

    /// Two selects that each offer both directions: both take the same meeting, or none.
    @Test func selectsMeetEachOther() {
        let operations: [ChannelOperation] = [
            .choose([.send(1, to: 0), .receive(from: 1)]), .choose([.receive(from: 0), .send(2, to: 1)]),
        ]
        let start: [ChannelHistory.Event] = [.call(0), .call(1)]
        let sent = ChannelOutcome.sent(place: 0), received = ChannelOutcome.received(place: 1, 2)
        #expect(isPossible([0, 0], operations, start + [.end(0, sent), .end(1, .received(place: 0, 1))]))
        #expect(isPossible([0, 0], operations, start + [.end(0, received), .end(1, .sent(place: 1))]))
        #expect(!isPossible([0, 0], operations, start + [.end(0, sent), .end(1, .sent(place: 1))]), "two meetings")
        #expect(!isPossible([0, 0], operations, start + [.quiet]), "they can meet")
    }
}
