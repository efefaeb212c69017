import CSP

/// The sender closes a channel, never the receiver: it says "no more values", and all who wait hear it.
enum Closing: Snippet {
    static let name = "close"
    static let title = "Closing a channel"
    static let summary = "what is still in the buffer arrives; then everybody gets nil"

    static func run() {
        let channel = Channel<String>(capacity: 2)
        channel <- "first"
        channel <- "second"
        channel.close()

        // Nothing is lost: a closed channel is drained before it says nil, and then says it at once, each time.
        for _ in 0..<4 { print((<-channel) ?? "nil") }

        // A close reaches every receiver, which makes it the way to stop many goroutines at once.
        let stop = Channel<Never>()
        let stopped = SharedAtomic(0)
        let workers = WaitGroup()
        for _ in 0..<100 {
            workers.go {
                <-stop
                stopped.add(1)
            }
        }
        stop.close()
        workers.wait()
        print("one close stopped", stopped.load(), "goroutines")

        // As in Go, these two end the program, for they are mistakes in it and cannot be handled:
        //     channel <- "third"     fatal error: send on closed channel
        //     channel.close()        fatal error: close of closed channel
    }
}
