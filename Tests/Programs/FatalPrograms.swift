import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Programs that must end with a message, or must not.
let fatalPrograms: [String: @Sendable () -> Void] = [
    "send-on-closed": {
        let channel = Channel<Int>()
        channel.close()
        channel.send(1)
    },
    "try-send-on-closed": {
        let channel = Channel<Int>(capacity: 1)
        channel.close()
        _ = channel.trySend(1)
    },
    "select-send-on-closed": {
        let channel = Channel<Int>()
        channel.close()
        select { Send(1, to: channel) {} }
    },
    "closed-under-a-sender": {
        let channel = Channel<Int>()
        go("sender") { channel.send(1) }
        Time.sleep(for: .milliseconds(50))
        channel.close()
        Time.sleep(for: .seconds(60))
    },
    "close-of-closed": {
        let channel = Channel<Int>()
        channel.close()
        channel.close()
    },
    "negative-wait-group": { WaitGroup().done() },
    "unlock-of-unlocked-mutex": { CSP.Mutex().unlock() },
    "unlocked-twice": {
        let mutex = CSP.Mutex()
        mutex.lock()
        mutex.unlock()
        mutex.unlock()
    },
    "unlock-within-with-lock": {
        let mutex = CSP.Mutex()
        mutex.withLock { _ in mutex.unlock() }
    },
    "semaphore-released-too-often": { Semaphore(2).release() },
    "semaphore-of-less-than-nothing": { _ = Semaphore(-1) },
    "semaphore-acquired-backwards": { Semaphore(1).acquire(-1) },
    "map-written-by-two": {
        let map = CheckedMap<Int, Int>()
        map.meet { $0[1] = 2 }
    },
    "map-read-beside-a-writer": {
        let map = CheckedMap<Int, Int>()
        map.meet { _ = $0[1] }
    },
    "map-read-by-two": {
        let map = CheckedMap([1: 1])
        go { while true { _ = map[1] } }
        while true { map[1] = 2 }
    },
    "map-iterated-beside-a-writer": {
        let map = CheckedMap([1: 1, 2: 2, 3: 3])
        let isInside = Channel<Void>()
        map.forEach { _, _ in
            go { write(&map[1], isInside) }
            <-isInside
        }
    },
    "more-workers-than-the-limit": {
        try? withGoroutines(limit: 2) { group in
            group.work(on: Channel<Int>().receiver, workers: 4) { _ in }
        }
    },
    "mutex-locked-twice": {
        Goroutine.run("recursive") {
            let mutex = CSP.Mutex()
            mutex.lock()
            mutex.lock()
        }
    },
    "ticker-of-zero": { _ = Time.Ticker(.zero) },
    "ticker-reset-to-zero": { Time.Ticker(.seconds(1)).reset(.zero) },
    "negative-capacity": { _ = Channel<Int>(capacity: -1) },
    "stack-of-zero": { go(stackSize: 0) {} },
    "no-processors": { Scheduler.maxProcs = 0 },
    "stack-overflow": { Goroutine.run("deep") { print(depth(1)) } },
    // The fault is most likely inside malloc, with its lock held.
    "stack-overflow-in-malloc": { Goroutine.run("deep") { print(allocate(1)) } },
    "stack-overflow-with-own-handler": {
        installHandlerOnSignalStack()
        Goroutine.run("deep") { print(depth(1)) }
    },
    "null-in-a-goroutine": { Goroutine.run("null") { fault() } },
    "abort-in-a-goroutine": { Goroutine.run("aborts") { () -> Void in abort() } },
    "null-outside": {
        Goroutine.run {}
        fault()
    },
    "trap": { Goroutine.run("boom") { () -> Void in fatalError("stepped on a mine") } },
    "trap-outside": {
        Goroutine.run {}
        fatalError("stepped on a mine")
    },
    "overlapping-access": {
        Goroutine.run("overlap") {
            Counter.shared.change { Counter.shared.value += 1 }
        }
    },
    "overlapping-access-after-a-park": {
        Scheduler.maxProcs = 4
        Goroutine.run("overlap") {
            Counter.shared.change {
                for _ in 0..<100 { Time.sleep(for: .microseconds(50)) }
                Counter.shared.value += 1
            }
        }
    },
    "main-returns": {
        go { while true { Goroutine.yield() } }
        go { Time.sleep(for: .seconds(3600)) }
        print("main returns")
    },
    "uses-the-runtime": { Goroutine.run { print("alive") } },
    // The program's own handler for faults that are not ours, set before and after the runtime has started.
    "own-handler-before": {
        installHandler()
        Goroutine.run {}
        fault()
    },
    "own-handler-after": {
        Goroutine.run {}
        installHandler()
        fault()
    },
    "own-handler-in-a-goroutine": {
        installHandler()
        Goroutine.run { fault() }
    },
]

private final class Counter: @unchecked Sendable {
    var value = 0
    // Shared, so that the optimiser cannot prove anything about accesses to it.
    static let shared = Counter()

    func change(_ meanwhile: () -> Void) {
        modify(&value, meanwhile)
        print(value)
    }
}

@inline(never)
private func modify(_ value: inout Int, _ meanwhile: () -> Void) {
    meanwhile()
    value += 1
}

@inline(never)
private func depth(_ n: Int) -> Int { n == 0 ? 0 : depth(opaque(n + 1)) + n }

@inline(never)
private func allocate(_ n: Int) -> Int {
    let array = [Int](repeating: n, count: opaque(n) % 64 + 1)
    return n == 0 ? 0 : allocate(n + 1) + array[0]
}

private func installHandlerOnSignalStack() {
    var action = sigaction()
    // SAFETY: `action` lives through the call.
    unsafe action.__sigaction_handler.sa_handler = { _ in _exit(42) }
    action.sa_flags = SA_ONSTACK
    _ = unsafe sigaction(SIGSEGV, &action, nil)
}

@inline(never)
private func opaque<T>(_ value: T) -> T { value }

private func installHandler() {
    // The handler ends the process in a way that no other path does.
    _ = signal(SIGSEGV) { _ in _exit(42) }
}

@inline(never)
private func fault() {
    // SAFETY: it is not; that is the point.
    unsafe UnsafeMutablePointer<Int>(bitPattern: opaque(8))!.pointee = 1
}

/// Says that it is inside, and stays there.
private func write(_ value: inout Int?, _ isInside: Channel<Void>) {
    isInside <- ()
    Time.sleep(for: .seconds(60))
    value = 1
}

extension CheckedMap<Int, Int> {
    /// Runs `body` while another goroutine is writing.
    fileprivate func meet(_ body: (CheckedMap) -> Void) {
        let isInside = Channel<Void>()
        go("writer") { write(&self[1], isInside) }
        <-isInside
        body(self)
    }
}
