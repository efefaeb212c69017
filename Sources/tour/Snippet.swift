/// One stop of the tour: a piece of Go's concurrency, in Swift, that runs and prints what happens.
protocol Snippet: SendableMetatype {
    /// What is typed after `swift run tour`.
    static var name: String { get }

    /// Printed above the output.
    static var title: String { get }

    /// What it shows, in one line of `--list`.
    static var summary: String { get }

    /// Prints as it goes, and returns when it has shown its point.
    static func run()
}

/// All stops, in the order in which a newcomer would best read them.
let snippets: [any Snippet.Type] = [
    // Goroutines.
    Say.self,
    Memory.self,
    Threads.self,
    Processors.self,
    // Channels.
    Channels.self,
    Unbuffered.self,
    Buffered.self,
    Closing.self,
    Directions.self,
    Ownership.self,
    // Waiting for several things.
    Selecting.self,
    Workers.self,
    FanOut.self,
    Limit.self,
    // Sharing memory after all.
    SafeCounterWithMutex.self,
    Cache.self,
    OnlyOnce.self,
    PatientLock.self,
    SharedMap.self,
    Group.self,
    WithTasks.self,
    // Pitfalls, and the ways out of them.
    Leak.self,
    LeakFixedByBuffer.self,
    LeakFixedByContext.self,
    Race.self,
    RaceFixedByAtomic.self,
    RaceFixedByToken.self,
    Counter.self,
]
