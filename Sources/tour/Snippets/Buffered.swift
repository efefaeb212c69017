import CSP

/// A buffered channel is a mailbox: sending waits only when it is full, receiving only when it is empty.
enum Buffered: Snippet {
    static let name = "buffered"
    static let title = "Buffered: a mailbox"
    static let summary = "a sender waits only when the buffer is full"

    static func run() {
        let mailbox = Channel<Int>(capacity: 3)
        for letter in 1...3 { mailbox <- letter }  // Nobody receives yet, and still this does not wait.
        print("\(mailbox.count) of \(mailbox.capacity) places taken")

        // `trySend` does not wait even when it would have to.
        print("a fourth letter:", mailbox.trySend(4) ? "sent" : "no room")

        go {
            mailbox <- 4  // This waits until the first letter has been taken out.
            mailbox.close()
        }
        for letter in mailbox { print("letter", letter) }
    }
}
