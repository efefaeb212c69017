import CSP

/// What Go's select cannot do: a case that acquires a lock, and cases in order of preference.
enum PatientLock: Snippet {
    static let name = "patient-lock"
    static let title = "A lock, but not for ever"
    static let summary = "select acquires a mutex, gives up after a while, and can prefer one case to another"

    static func run() {
        let account = Mutex(100), isHeld = Channel<Void>(), letGo = Channel<Void>(), quit = Channel<Never>()
        go("slow") {
            account.withLock { balance in
                isHeld <- ()
                <-letGo
                balance -= 30
            }
        }
        <-isHeld
        select {
            Acquire(account) { balance in print("balance:", balance) }
            After(.milliseconds(10)) { print("somebody holds the account; not waiting any longer") }
        }
        letGo <- ()
        select {
            Acquire(account) { balance in print("balance:", balance) }
            After(.seconds(60)) { print("never") }
        }
        quit.close()
        // Both can go on. Without the order it would be one or the other.
        select(prioritized: true) {
            Receive(quit) { _ in print("quit comes first") }
            Acquire(account) { _ in print("never") }
        }
    }
}
