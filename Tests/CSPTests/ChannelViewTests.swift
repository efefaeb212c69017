import CSP
import Testing

/// The two directional halves, the operators, and what makes two channels the same.
@Suite struct ChannelViewTests {
    @Test func valuesGoFromTheSendingHalfToTheReceivingHalf() {
        inGoroutine {
            let channel = Channel<Int>()
            let sender = channel.sender
            let receiver = channel.receiver
            go {
                for n in 0..<10 { sender.send(n) }
                sender.close()
            }
            for n in 0..<10 { #expect(receiver.receive() == n) }
            #expect(receiver.receive() == nil)
        }
    }

    @Test func theHalvesTryAndCountAsTheChannelDoes() {
        let channel = Channel<Int>(capacity: 2)
        let sender = channel.sender
        let receiver = channel.receiver
        #expect(sender.trySend(1))
        #expect(sender.count == 1)
        #expect(receiver.count == 1)
        #expect(sender.capacity == 2)
        #expect(receiver.capacity == 2)
        #expect(sender.trySend(2))
        #expect(!sender.trySend(3))
        #expect(Attempt(receiver.tryReceive()) == .value(1))
        sender.close()
        #expect(Attempt(receiver.tryReceive()) == .value(2))
        #expect(Attempt(receiver.tryReceive()) == .closed)
    }

    @Test func aHalfKeepsItsChannelAlive() {
        onThread {
            func makeHalves() -> (SendChannel<Int>, ReceiveChannel<Int>) {
                let channel = Channel<Int>(capacity: 1)
                return (channel.sender, channel.receiver)
            }
            let (sender, receiver) = makeHalves()
            sender <- 4
            #expect((<-receiver) == 4)
        }
    }

    @Test func operatorsSendAndReceive() {
        onThread {
            let channel = Channel<String>(capacity: 2)
            channel <- "a"
            channel.sender <- "b"
            #expect((<-channel) == "a")
            #expect((<-channel.receiver) == "b")
            channel <- "dropped"
            <-channel
            #expect(channel.count == 0)
            channel.close()
            #expect((<-channel) == nil)
        }
    }

    @Test func operatorsMoveNoncopyableValues() {
        let ledger = Ledger(2)
        onThread {
            let channel = Channel<Token>(capacity: 2)
            channel <- ledger.token(0)
            channel.sender <- ledger.token(1)
            if let token = <-channel { #expect(token.id == 0) }
            <-channel.receiver
            #expect(ledger.counts == [1, 1])
        }
    }

    @Test func channelsAreEqualWhenTheyAreTheSame() {
        let one = Channel<Int>(capacity: 1)
        let same = one
        let other = Channel<Int>(capacity: 1)
        #expect(one == same)
        #expect(one != other)
        #expect(Set([one, same, other]).count == 2)
        #expect([one: "one", other: "other"][same] == "one")
    }

    @Test func halvesAreEqualWhenTheirChannelsAre() {
        let one = Channel<Int>()
        let other = Channel<Int>()
        #expect(one.sender == one.sender)
        #expect(one.sender != other.sender)
        #expect(one.receiver == one.receiver)
        #expect(one.receiver != other.receiver)
        #expect(Set([one.sender, one.sender, other.sender]).count == 2)
        #expect(Set([one.receiver, one.receiver, other.receiver]).count == 2)
    }

    @Test func channelsOfNoncopyableElementsAreHashable() {
        let one = Channel<Token>()
        #expect(Set([one, one]).count == 1)
        #expect(Set([one.sender, one.sender]).count == 1)
        #expect(Set([one.receiver, one.receiver]).count == 1)
    }

    @Test func channelsTravelThroughChannels() {
        struct Request {
            let number: Int
            let reply: SendChannel<Int>
        }
        inGoroutine {
            let requests = Channel<Request>()
            go { for request in requests { request.reply <- request.number * 2 } }
            for number in 0..<100 {
                let reply = Channel<Int>()
                requests <- Request(number: number, reply: reply.sender)
                #expect((<-reply) == number * 2)
            }
            requests.close()
        }
    }
}
