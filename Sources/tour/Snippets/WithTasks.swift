import CSP

/// Goroutines and Swift's async functions, on the same channels and in both directions.
enum WithTasks: Snippet {
    static let name = "tasks"
    static let title = "With async/await"
    static let summary = "Swift tasks use the same channels, and each side calls the other"

    static func run() {
        let numbers = Channel<Int>(), quit = Channel<Never>()
        go {
            for n in 1...3 { numbers <- n }
            quit.close()
        }
        // Async code from here: this goroutine parks until the task is done, and no thread waits.
        runBlocking { () async in
            var isOver = false
            while !isOver {
                // Suspends the task, in the queues in which goroutines wait.
                try? await select {
                    Receive(numbers) { print("the task received", $0!) }
                    Receive(quit) { _ in isOver = true }
                }
            }
            // Code that blocks, from a task: it may, in a goroutine.
            let slept = await Goroutine.run {
                Time.sleep(for: .milliseconds(5))
                return "a goroutine has slept for the task"
            }
            print(slept)

            // Cancelling a task ends its wait, with nothing taken.
            let waiting = Task { try await numbers.receive() }
            waiting.cancel()
            print("cancelled:", await waiting.result)
        }
    }
}
