import Bugs
import CSP
import CSPTesting

// The bugs of docs/finding-bugs.md, and what the tools say of them: `swift run show-bug NAME`.

let texts = Array(repeating: "to be or not to be", count: 100)
let servers: [@Sendable () -> Int] = [{ 1 }, { 2 }, { 3 }]

/// Two transfers, there and back, at the same time.
func crossing(_ transfer: @escaping @Sendable (Int, Account, Account) -> Void) -> ExplorationFailure? {
    Exploration.firstFailure(seed: 0x9185_3f62_7478_cd32) {
        let a = Account(1, 100), b = Account(2, 100), both = WaitGroup()
        both.go { transfer(10, a, b) }
        both.go { transfer(20, b, a) }
        both.wait()
    }
}

/// How long it takes to give up, with ten seconds to do so.
func timeToGiveUp(_ retry: @escaping @Sendable (Context, () -> Bool) -> Bool) throws -> Duration {
    try withVirtualTime { clock in
        let (context, cancel) = Context.background.withTimeout(.seconds(10))
        defer { cancel() }
        _ = retry(context) { false }
        return clock.elapsed
    }
}

func leaks(of firstAnswer: ([@Sendable () -> Int]) -> Int) -> GoroutineLeaks {
    for _ in 1...3 { _ = firstAnswer(servers) }
    Time.sleep(for: .milliseconds(100))
    return Goroutine.leaks()
}

switch CommandLine.arguments.dropFirst().first {
case "race": print(countWords(texts)["be"] ?? 0)
case "race-mended": print(countWordsGuarded(texts)["be"] ?? 0)
case "deadlock": print(sumOfSquares([1, 2, 3]))
case "deadlock-mended": print(sumOfSquaresClosed([1, 2, 3]))
case "leak": print(leaks(of: firstAnswer))
case "leak-mended": print(leaks(of: firstAnswerOfAll))
case "order": print(crossing { transfer($0, from: $1, to: $2) }?.description ?? "nothing found")
case "order-mended": print(crossing { transferInOrder($0, from: $1, to: $2) }?.description ?? "nothing found")
case "time": print(try timeToGiveUp(retry))
case "time-mended": print(try timeToGiveUp(retryHeeding))
default: print("usage: show-bug race|deadlock|leak|order|time, or one of them with -mended behind it")
}
