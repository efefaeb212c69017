import CSP
import CSPNet
import Synchronization

/// A pipeline: takers wait for orders, few of which come.
@inline(never)
func startOrders() {
    let orders = Channel<Int>(capacity: 4), done = Channel<Int>()
    for n in 1...120 { go("order taker \(n)") { takeOrders(orders, done) } }
    go("order source") {
        var order = 0
        while true {
            Time.sleep(for: .milliseconds(3))
            orders <- order
            order += 1
        }
    }
    go("accountant") {
        var sum = 0
        let ticker = Time.Ticker(.milliseconds(100))
        while true {
            select {
                Receive(done) { sum &+= $0! }
                Receive(ticker.channel) { _ in sum = 0 }
            }
        }
    }
}

@inline(never)
private func takeOrders(_ orders: Channel<Int>, _ done: Channel<Int>) {
    for order in orders { done <- price(order) }
}

/// Some microseconds of work.
@inline(never)
private func price(_ order: Int) -> Int { mix(UInt64(order), rounds: 2_000) }

/// Many that want one mutex, which each keeps for a while.
@inline(never)
func startLocks() {
    let ledger = CSP.Mutex(0)
    for n in 1...25 {
        go("clerk \(n)") {
            while true {
                ledger.withLock { entries in
                    entries += 1
                    Time.sleep(for: .milliseconds(4))
                }
                Time.sleep(for: .milliseconds(20))
            }
        }
    }
}

/// A server on the loopback, with connections that are silent and some that talk.
@inline(never)
func startConnections() {
    guard let listener = try? TCPListener(.ip(.loopback, port: 0)) else { return }
    go("listener") {
        for connection in listener {
            go("connection") {
                while let bytes = try? connection.read(upTo: 4096) { try? connection.write(bytes) }
            }
        }
    }
    for n in 1...60 {
        go("client \(n)") {
            guard let connection = try? TCPConnection.dial(listener.address) else { return }
            while true {
                // Most say nothing for hours.
                Time.sleep(for: n <= 10 ? .milliseconds(50) : .seconds(3600))
                try? connection.write("how are you?\n")
                _ = try? connection.read(upTo: 4096)
            }
        }
    }
}

/// Two that compute for some milliseconds, then rest: so processors are busy some of the time.
@inline(never)
func startComputing() {
    for n in 1...2 {
        go("solver \(n)") {
            var state: UInt64 = UInt64(n)
            while true {
                state = UInt64(bitPattern: Int64(solve(state)))
                Time.sleep(for: .milliseconds(30))
            }
        }
    }
}

@inline(never)
private func solve(_ state: UInt64) -> Int {
    var sum = 0
    let start = Time.now
    while start.duration(to: Time.now) < .milliseconds(10) { sum &+= relax(state) &+ factor(state) }
    return sum
}

@inline(never)
private func relax(_ state: UInt64) -> Int { mix(state, rounds: 20_000) }

@inline(never)
private func factor(_ state: UInt64) -> Int { mix(state ^ 0x5555, rounds: 10_000) }

@inline(never)
private func mix(_ seed: UInt64, rounds: Int) -> Int {
    var state = seed
    for _ in 0..<rounds {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
    }
    return Int(truncatingIfNeeded: state >> 40)
}

/// A wave of goroutines that come and go, so that the numbers change.
@inline(never)
func startSleepers() {
    go("tide") {
        // Up and down again in twenty seconds.
        var step = 0
        while true {
            step = (step + 1) % 80
            for _ in 0..<min(step, 80 - step) / 2 { go { Time.sleep(for: .seconds(2)) } }
            Time.sleep(for: .milliseconds(250))
        }
    }
}

/// Those nobody will ever wake; one has a name that is no good as markup.
@inline(never)
func startForgotten(_ count: Int) {
    let nobody = Channel<Never>()
    go("<b>bold & \"quoted\"</b>") { nobody.receive() }
    for n in 0..<max(count, 10) {
        // One each: an address that is left over somewhere hides only one of them from a search for leaks.
        let nobody = Channel<Never>()
        go("forgotten \(n)") { nobody.receive() }
    }
}

/// One for each processor, and none ever comes to a scheduling point.
@inline(never)
func startStuck() {
    for n in 1...Scheduler.maxProcs {
        go("stuck \(n)") {
            var state = UInt64(n)
            while true { state = fifty(state) }
        }
    }
}

/// Each waits for what the other would do next.
@inline(never)
func startDeadlocked() {
    let one = Channel<Int>(), other = Channel<Int>()
    go("first") { if let value = one.receive() { other.send(value) } }
    go("second") { if let value = other.receive() { one.send(value) } }
}

/// For a profile whose shares are known.
@inline(never)
func startKnown() {
    go("known") {
        var state: UInt64 = 1
        while true {
            state = fifty(state)
            state = thirty(state)
            state = twenty(state)
        }
    }
}

@inline(never)
private func fifty(_ seed: UInt64) -> UInt64 { stir(seed, 50_000) }
@inline(never)
private func thirty(_ seed: UInt64) -> UInt64 { stir(seed ^ 30, 30_000) }
@inline(never)
private func twenty(_ seed: UInt64) -> UInt64 { stir(seed ^ 20, 20_000) }

@inline(__always)
private func stir(_ seed: UInt64, _ rounds: Int) -> UInt64 {
    var state = seed
    var left = rounds
    while left > 0 {
        state = (state ^ state << 13) &* 0x9E37_79B9_7F4A_7C15
        left -= 1
    }
    return state
}
