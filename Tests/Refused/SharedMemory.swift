// What the compiler must refuse: Go finds these at run time, if at all. See Scripts/check-refused.
import CSP

/// "fatal error: concurrent map writes" in Go.
func mapWrittenByMany(_ words: [String]) {
    var counts: [String: Int] = [:]
    let all = WaitGroup()
    for word in words {
        // error: sending value of non-Sendable type '() -> ()' risks causing data races
        all.go { counts[word, default: 0] += 1 }
    }
    all.wait()
    print(counts)
}

/// "fatal error: concurrent map read and map write" in Go.
func mapReadBesideAWriter() {
    var ages = ["Ada": 36]
    // error: sending value of non-Sendable type '() -> ()' risks causing data races
    go { ages["Alan"] = 41 }
    print(ages["Ada"] as Any)
}

func counterOfMany() {
    var counter = 0
    for _ in 0..<1000 {
        // error: sending value of non-Sendable type '() -> ()' risks causing data races
        go { counter += 1 }
    }
}

final class Account { var balance = 0 }

func objectOfTwo(_ account: Account) {
    // error: passing closure as a 'sending' parameter risks causing data races
    go { account.balance += 1 }
    account.balance += 1
}

func useAfterSend(_ accounts: Channel<Account>) {
    let account = Account()
    // error: sending 'account' risks causing data races
    accounts <- account
    account.balance += 1
}

func valueOfAMutexLetOut(_ guarded: CSP.Mutex<Account>) {
    var kept: Account?
    // error: 'inout sending' parameter '$0' cannot be task-isolated at end of function
    guarded.withLock { kept = $0 }
    kept?.balance += 1
}
