import CSP
import Foundation
import Dispatch

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// What `Goroutine.leaks()` finds, each in a process of its own. They print the names of those that were found. Now and then one is hidden by an address that is
/// left over on a stack: so there are several of each.
let leakPrograms: [String: @Sendable () -> Void] = [
    "leaks-leaky-function": {
        for number in 1...10 { leakyFunction(number) }
        park((1...10).map { "leaky\($0)" }, for: "chan send")
        let names = Set(Goroutine.leaks().map { $0.name ?? "?" })
        print(names.count >= 8 && names.isSubset(of: (1...10).map { "leaky\($0)" }) ? "found" : "missed \(names)")
    },
    "leaks-fixed-functions": {
        for _ in 1...10 {
            safeFunction()
            _ = try? bestFunction(Context.background.cancelled())
        }
        while Goroutine.count > 0 { Time.sleep(for: .milliseconds(1)) }
        printLeaks()
    },
    // As long as somebody can still send they are not.
    "leaks-once-they-are": {
        let results = Channel<Int>()
        go("receiver") { _ = results.receive() }
        park(["receiver"], for: "chan receive")
        printLeaks()
        _ = results.trySend(1)
        while Goroutine.count > 0 { Time.sleep(for: .milliseconds(1)) }
        printLeaks()
        let gate = Channel<Void>(), names = (1...5).map { "behind\($0)" }
        for name in names { startBehind(gate, name) }
        park(names, for: "chan receive")
        printLeaks()
        gate.close()
        park(names, for: "chan send")
        print(Goroutine.leaks().isEmpty ? "missed" : "found")
    },
    "leaks-of-every-kind": {
        for round in 1...9 { startLeaks(round) }
        printLeaks()
    },
    "leaks-as-text": {
        for number in 1...5 { leakyFunction(number) }
        park((1...5).map { "leaky\($0)" }, for: "chan send")
        print(Goroutine.leaks())
    },
    "leaks-none": {
        let leaks = Goroutine.leaks()
        print(leaks, leaks.obstacle == nil)
    },
    "leaks-without-memory": {
        Goroutine.run {}
        // A thread that has only just been started needs some memory yet.
        waitUntilTheMonitorWaits()
        // All that there is, and nothing more.
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        // SAFETY: it lives through the call.
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &none)
        print(Goroutine.leaks())
    },
    "leaks-from-a-goroutine": {
        Goroutine.run {
            for number in 1...5 { leakyFunction(number) }
            park((1...5).map { "leaky\($0)" }, for: "chan send")
            print(Goroutine.leaks().isEmpty ? "missed" : "found")
        }
    },
    "leaks-none-that-are-held": {
        Goroutine.run("holder") {
            for (reason, names) in startHeld() { park(names, for: reason) }
            printLeaks()
        }
    },
    "leaks-under-load": {
        for number in 1...20 { leakyFunction(number) }
        park((1...20).map { "leaky\($0)" }, for: "chan send")
        startLoad()
        for _ in 1...8 {
            let found = Goroutine.leaks()
            if let obstacle = found.obstacle { print(obstacle) }
            for leak in found where leak.name?.hasPrefix("leaky") != true { print("wrong:", leak) }
        }
        let count = Goroutine.leaks().count
        print(count >= 10 ? "found" : "missed \(20 - count)")
    },
    "leaks-many": {
        let started = SharedAtomic(0)
        for _ in 1...100_000 { countedLeak(started) }
        while started.load() < 100_000 { Time.sleep(for: .milliseconds(1)) }
        let leaks = Goroutine.leaks()
        // Unoptimized code leaves much on its stacks, and one that is hidden may hide others.
        #if DEBUG
            let least = 1
        #else
            let least = 99_000
        #endif
        print(leaks.count >= least ? "found" : "missed \(leaks.count)")
    },
]

private func printLeaks() {
    let leaks = Goroutine.leaks()
    if let obstacle = leaks.obstacle { return print("obstacle:", obstacle) }
    // Without the round.
    let names = Set(leaks.map { String(($0.name ?? "?").prefix { !$0.isNumber }) })
    print("[\(names.sorted().joined(separator: " "))]")
}

/// Until each waits for that.
private func park(_ names: [String], for reason: String) {
    for name in names { while !Dump.isParked(name, for: reason) { Time.sleep(for: .milliseconds(1)) } }
}

// MARK: The description's

private func expensiveComputation() -> Int { 42 }

@inline(never)
private func leakyFunction(_ number: Int) {
    let ch = Channel<Int>()
    go("leaky\(number)") { ch <- expensiveComputation() }
}

@inline(never)
private func countedLeak(_ started: SharedAtomic<Int>) {
    let channel = Channel<Int>()
    go {
        started.add(1)
        channel <- 1
    }
}

@inline(never)
private func safeFunction() {
    let ch = Channel<Int>(capacity: 1)
    go("safe") { ch <- expensiveComputation() }
}

@inline(never)
private func bestFunction(_ context: Context) throws -> Int {
    let ch = Channel<Int>(capacity: 1)
    go("best") { ch <- expensiveComputation() }
    let result: Int? = select {
        Receive(ch) { (value: consuming Int?) in value }
        Receive(context.done) { _ in Int?.none }
    }
    guard let result else { throw context.error! }
    return result
}

extension Context {
    fileprivate func cancelled() -> Context {
        let (context, cancel) = withCancel()
        cancel()
        return context
    }
}

// MARK: Every kind of wait

private final class Link: @unchecked Sendable {
    let channel: Channel<Int>
    var map: [String: Channel<Int>] = [:]
    var next: Link?
    init(_ channel: Channel<Int>) { self.channel = channel }
}

@inline(never)
private func startBehind(_ gate: Channel<Void>, _ name: String) {
    let results = Channel<Int>()
    go(name) {
        gate.receive()
        results <- 1
    }
}

/// Starts one for each kind of wait. Each waits before the next one begins: in unoptimised code a goroutine that leaves its stack for another one keeps an address of that on it, and
/// so one that is hidden by chance would hide all that came after it.
@inline(never)
private func startLeaks(_ round: Int) {
    let receiving = Channel<Int>()
    go("receive\(round)") { _ = receiving.receive() }
    park(["receive\(round)"], for: "chan receive")
    let one = Channel<Int>(), two = Channel<String>()
    go("select\(round)") {
        select {
            Receive(one) { _ in }
            Receive(two) { _ in }
        }
    }
    park(["select\(round)"], for: "select")
    go("select-nothing\(round)") { select([AnySelectCase<Void>]()) }
    park(["select-nothing\(round)"], for: "select (no cases)")
    go("nil-channel\(round)") { select { Receive(nil as Channel<Int>?) { _ in } } }
    park(["nil-channel\(round)"], for: "select (no cases)")
    let mutex = CSP.Mutex()
    go("mutex\(round)") {
        mutex.lock()
        mutex.lock()
    }
    park(["mutex\(round)"], for: "sync.Mutex.Lock")
    let semaphore = Semaphore(1)
    go("semaphore\(round)") {
        semaphore.acquire()
        semaphore.acquire()
    }
    park(["semaphore\(round)"], for: "semacquire")
    let group = WaitGroup()
    group.add(1)
    go("group\(round)") { group.wait() }
    park(["group\(round)"], for: "sync.WaitGroup.Wait")
    let flag = CSP.Mutex(false), condition = Condition(flag)
    go("condition\(round)") { condition.wait(until: { $0 }, then: { _ in }) }
    park(["condition\(round)"], for: "sync.Cond.Wait")
    let guarded = RWMutex(0)
    go("write-lock\(round)") { guarded.withReadLock { _ in guarded.withWriteLock { _ in } } }
    park(["write-lock\(round)"], for: "sync.RWMutex.Lock")
    // Each knows what the other waits for.
    let left = Channel<Int>(), right = Channel<Int>()
    go("left\(round)") {
        left <- 1
        right <- 1
    }
    go("right\(round)") {
        right <- 1
        left <- 1
    }
    park(["left\(round)", "right\(round)"], for: "chan send")
    // Deep in objects.
    let link = Link(Channel<Int>())
    link.next = Link(Channel<Int>())
    link.next!.map["a"] = Channel<Int>()
    go("deep\(round)") { link.next!.map["a"]! <- 1 }
    park(["deep\(round)"], for: "chan send")
    // Its only other holder has ended.
    let shared = Channel<Int>()
    go("partner\(round)") { _ = shared.count }
    go("deserted\(round)") { shared <- 1 }
    park(["deserted\(round)"], for: "chan send")
}

// MARK: What somebody still holds

nonisolated(unsafe) private var global: Channel<Int>?
nonisolated(unsafe) private var registry: [String: any Sendable] = [:]
nonisolated(unsafe) private var raw: UnsafeMutableRawPointer?

@inline(never)
private func held(_ name: String) -> Channel<Int> {
    let channel = Channel<Int>()
    go(name) { _ = channel.receive() }
    return channel
}

@inline(never)
private func answer(_ name: String) -> Channel<Int> {
    let channel = Channel<Int>(capacity: 1)
    go(name) { channel <- 1 }
    return channel
}

private final class WeakHolder: @unchecked Sendable { weak var channel: Channel<Int>? }
private final class UnownedHolder: @unchecked Sendable {
    unowned let channel: Channel<Int>
    init(_ channel: Channel<Int>) { self.channel = channel }
}
private enum Payload: Sendable {
    case none
    case channel(Channel<Int>)
    case text(String)
}

@inline(never)
private func startHeld() -> [String: [String]] {
    unsafe global = held("global")
    unsafe registry["array"] = [[held("array")]]
    unsafe registry["weak"] = { () -> WeakHolder in
        let holder = WeakHolder()
        holder.channel = held("weak")
        return holder
    }()
    unsafe registry["unowned"] = UnownedHolder(held("unowned"))
    unsafe registry["payload"] = [Payload.none, Payload.text("a"), Payload.channel(held("payload"))] as [any Sendable]
    // SAFETY: kept for ever, with a reference of its own.
    unsafe raw = malloc(64)
    unsafe raw!.storeBytes(
        of: Unmanaged.passRetained(held("malloc")).toOpaque(), toByteOffset: 40, as: UnsafeMutableRawPointer.self)
    let forTask = held("task")
    Task {
        try await Task.sleep(for: .seconds(1000))
        try await forTask.send(1)
    }
    let forDispatch = held("dispatch")
    DispatchQueue.global().asyncAfter(deadline: .now() + 1000) { _ = forDispatch.trySend(1) }
    let forThread = held("thread")
    startThread {
        sleep(1000)
        _ = forThread.trySend(1)
    }
    let forTimer = held("timer")
    _ = Time.Timer(.seconds(1000)) { _ = forTimer.trySend(1) }
    let forSleeper = held("sleeper's")
    go("sleeper") {
        Time.sleep(for: .seconds(1000))
        _ = forSleeper.trySend(1)
    }
    go("select-after") {
        let never = Channel<Int>()
        select {
            Receive(never) { _ in }
            After(.seconds(1000)) {}
        }
    }
    return [
        "chan receive": [
            "global", "array", "weak", "unowned", "payload", "malloc", "task", "dispatch", "thread", "timer",
            "sleeper's",
        ], "sleep": ["sleeper"], "select": ["select-after"],
    ]
}

// MARK: Beside others

/// Goroutines, tasks and threads that never rest, and whose partners are known in one place only at any moment.
@inline(never)
private func startLoad() {
    for _ in 1...20 {
        go {
            while true {
                let request = Channel<Channel<Int>>(), reply = Channel<Int>()
                go("server") {
                    let to = request.receive()!
                    to <- 1
                }
                go("asker") { request <- reply }
                _ = reply.receive()
            }
        }
        go {
            let mutex = CSP.Mutex(), group = WaitGroup()
            while true {
                for _ in 1...3 { group.go { mutex.withLock { _ in Goroutine.yield() } } }
                group.wait()
                select {
                    Receive(answer("short")) { _ in }
                    After(.microseconds(50)) {}
                }
            }
        }
    }
    startThread {
        while true {
            let answer = Channel<Int>()
            go("for-thread") { answer <- 1 }
            _ = answer.receive()
        }
    }
    Task.detached {
        while true {
            let answer = Channel<Int>()
            go("for-task") { answer <- 1 }
            _ = try await answer.receive()
        }
    }
}

/// Returns once the monitor, which the first goroutine has had started, has been to sleep several times.
func waitUntilTheMonitorWaits() {
    while true {
        for thread in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? [] {
            guard let status = try? String(contentsOfFile: "/proc/self/task/\(thread)/status", encoding: .utf8),
                status.hasPrefix("Name:\tcsp-monitor\n"),
                let sleeps = status.firstMatch(of: /\nvoluntary_ctxt_switches:\t([0-9]+)/), Int(sleeps.1)! >= 4
            else { continue }
            return
        }
        usleep(1000)
    }
}
