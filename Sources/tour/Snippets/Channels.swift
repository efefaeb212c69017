import CSP

/// A channel is a pipe between goroutines: values put in at one end come out at the other, in the same order.
enum Channels: Snippet {
    static let name = "channels"
    static let title = "Creating a channel, sending, receiving"
    static let summary = "one goroutine sends, another receives, and neither needs a lock"

    static func run() {
        let channel = Channel<Int>()  // An unbuffered channel of integers.

        go {
            channel <- 42  // Sends 42 to the channel: waits until somebody takes it.
            channel.send(43)  // The same, for those who like words better than arrows.
            channel.close()
        }

        let value = <-channel  // Receives from the channel: waits until there is something.
        print("received", value!)
        print("received", channel.receive()!)

        // Where Go returns a zero value and `ok == false`, Swift has nil.
        print("closed:", (<-channel) == nil)
    }
}
