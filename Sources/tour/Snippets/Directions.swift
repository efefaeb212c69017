import CSP

/// A function that only sends takes a `SendChannel`, one that only receives a `ReceiveChannel`; the compiler holds them
/// to it.
enum Directions: Snippet {
    static let name = "directions"
    static let title = "Producer and consumer: channels with a direction"
    static let summary = "who may send, who may receive, checked when compiling"

    /// Can only send to the channel.
    static func producer(_ out: SendChannel<Int>) {
        for i in 0..<10 { out <- i }
        out.close()  // The sender closes the channel when it has nothing more to send.
    }

    /// Can only receive from the channel.
    static func consumer(_ input: ReceiveChannel<Int>) {
        for value in input {  // Goes on until the channel is closed.
            print(value, terminator: " ")
        }
        print()
        // input <- 10      error: no operator '<-' takes a ReceiveChannel on its left
        // input.close()    error: value of type 'ReceiveChannel<Int>' has no member 'close'
    }

    static func run() {
        let numbers = Channel<Int>()
        go { producer(numbers.sender) }
        consumer(numbers.receiver)
    }
}
