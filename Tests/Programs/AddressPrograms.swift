import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

// For AddressSanitizer: see Scripts/check-addresses. What stands before the stroke is what it must call the mistake. The pointers are wrong on purpose.

@unsafe private struct Memory: @unchecked Sendable {
    let bytes: UnsafeMutablePointer<UInt8>

    init(count: Int = 64) {
        unsafe bytes = .allocate(capacity: count)
        unsafe bytes.initialize(repeating: 1, count: count)
    }

    func free() { unsafe bytes.deallocate() }

    @inline(never)
    func use(_ index: Int = 0) { if unsafe bytes[index] == 255 { print("never") } }
}

private final class Node: @unchecked Sendable {
    var other: Node?
    var number = 1
}

/// In a goroutine, while the main thread waits.
private func run(stackSize: Int? = nil, _ body: @escaping @Sendable () -> Void) {
    let done = WaitGroup()
    done.go(nil, stackSize: stackSize, body)
    done.wait()
}

/// The same many times: what one has lost may still lie about somewhere, where the leak detector takes it for a reference.
private func lose(_ body: @escaping @Sendable () -> Void) { for _ in 0..<20 { run(body) } }

/// A park, after which the goroutine may be on another thread.
private func wait() { Time.sleep(for: .milliseconds(5)) }

/// Overwrites what calls have left behind on the stack and in the frames beside it.
@inline(never)
private func bury(_ levels: Int = 50) {
    var here = (0, 0, 0, 0, 0, 0, 0, 0)
    if levels > 0 { bury(levels - 1) }
    unsafe withUnsafeMutableBytes(of: &here) { unsafe $0[levels] = 1 }
}

/// Memory with references to it on the stack itself: most variables are not there, but in frames beside it.
@inline(never)
private func useMemory(while body: () -> Void) {
    unsafe withUnsafeTemporaryAllocation(of: Memory.self, capacity: unknown(8)) {
        unsafe $0.initialize(repeating: Memory(count: 1000))
        body()
        unsafe $0[1].use()
    }
}

@inline(never)
private func leak() { useMemory {} }

@inline(never)
private func descend(_ levels: Int) -> Int { levels == 0 ? 0 : descend(levels - 1) + 1 }

@inline(never)
private func descend(_ levels: Int, then body: () -> Void) -> Int {
    if levels == 0 {
        body()
        return 0
    }
    return descend(levels - 1, then: body) + 1
}

@inline(never)
private func escaped() -> UnsafeMutablePointer<Int> {
    var local = 1
    return unsafe withUnsafeMutablePointer(to: &local) { unsafe $0 }
}

private struct Failure: Error {}

@inline(never)
private func fail(after levels: Int) throws {
    Goroutine.yield()
    if levels == 0 { throw Failure() }
    try fail(after: levels - 1)
}

/// A number from the program, which the compiler does not know.
@inline(never)
private func unknown(_ number: Int) -> Int { CommandLine.arguments.count > 100 ? 0 : number }

private let wrongPrograms: [String: @Sendable () -> Void] = [
    "heap-use-after-free/at-once": {
        run {
            let memory = unsafe Memory()
            unsafe memory.free()
            unsafe memory.use()
        }
    },
    "heap-use-after-free/after-a-wait": {
        run {
            let memory = unsafe Memory()
            unsafe memory.free()
            wait()
            unsafe memory.use()
        }
    },
    "heap-use-after-free/after-a-turn": {
        run {
            let memory = unsafe Memory()
            go { unsafe memory.free() }
            for _ in 0..<100 { Goroutine.yield() }
            wait()
            unsafe memory.use()
        }
    },
    "heap-use-after-free/freed-by-the-receiver": {
        run {
            let memory = unsafe Memory(), there = unsafe Channel<Memory>(), back = Channel<Void>()
            go {
                unsafe there.receive()!.free()
                back <- ()
            }
            unsafe there.send(memory)
            back.receive()
            unsafe memory.use()
        }
    },
    "heap-use-after-free/captured": {
        let memory = unsafe Memory(), gate = Channel<Never>(), done = WaitGroup()
        done.go {
            gate.receive()
            unsafe memory.use()
        }
        unsafe memory.free()
        gate.close()
        done.wait()
    },
    "heap-use-after-free/object": {
        run {
            let node = unsafe Unmanaged.passRetained(Node())
            unsafe node.release()
            wait()
            print(unsafe node._withUnsafeGuaranteedRef { $0.number })
        }
    },
    "heap-use-after-free/on-a-used-stack": {
        for _ in 0..<200 { run { Goroutine.yield() } }
        run {
            let memory = unsafe Memory()
            unsafe memory.free()
            unsafe memory.use()
        }
    },
    "heap-use-after-free/deep-down": {
        run {
            _ = descend(150) {
                let memory = unsafe Memory()
                unsafe memory.free()
                wait()
                unsafe memory.use()
            }
        }
    },
    "heap-use-after-free/in-a-select": {
        run {
            let memory = unsafe Memory(), channel = Channel<Int>(capacity: 1)
            unsafe memory.free()
            channel <- 1
            select { Receive(channel) { _ in unsafe memory.use() } }
        }
    },
    "heap-use-after-free/while-blocking": {
        run {
            let memory = unsafe Memory()
            unsafe memory.free()
            blocking { unsafe memory.use() }
        }
    },
    "heap-use-after-free/on-a-locked-thread": {
        run {
            let memory = unsafe Memory()
            unsafe memory.free()
            Goroutine.withLockedThread {
                wait()
                unsafe memory.use()
            }
        }
    },
    "double-free/after-a-wait": {
        run {
            let memory = unsafe Memory()
            unsafe memory.free()
            wait()
            unsafe memory.free()
        }
    },
    "bad-free/in-the-middle": { run { unsafe (Memory().bytes + 16).deallocate() } },
    "heap-buffer-overflow/behind": { run { unsafe Memory().use(64) } },
    "heap-buffer-overflow/before": {
        run {
            wait()
            unsafe Memory().use(-1)
        }
    },
    "heap-buffer-overflow/by-the-library": {
        run {
            let from = unsafe Memory(), to = unsafe Memory(count: 32)
            wait()
            unsafe memcpy(to.bytes, from.bytes, unknown(64))
        }
    },
    "stack-buffer-overflow/local": {
        run {
            var numbers = (1, 2, 3, 4)
            wait()
            unsafe withUnsafeMutablePointer(to: &numbers.0) { print(unsafe $0[unknown(4)]) }
        }
    },
    "stack-buffer-overflow/on-a-used-stack": {
        for _ in 0..<200 { run { Goroutine.yield() } }
        run {
            var numbers = (1, 2, 3, 4)
            unsafe withUnsafeMutablePointer(to: &numbers.0) { unsafe $0[unknown(4)] = 5 }
        }
    },
    "stack-use-after-return/at-once": { run { print(unsafe escaped().pointee) } },
    "stack-use-after-return/after-a-wait": {
        run {
            let pointer = unsafe escaped()
            for _ in 0..<10 { wait() }
            print(unsafe pointer.pointee)
        }
    },
    "stack-overflow/recursion": { run { print(descend(unknown(1 << 40))) } },
    "SEGV/null": { run { unsafe UnsafeMutablePointer<Int>(bitPattern: unknown(8))!.pointee = 1 } },
    "leak/memory": { lose { leak() } },
    "leak/object": { lose { _ = unsafe Unmanaged.passRetained(Node()) } },
    "leak/cycle": {
        lose {
            let first = Node(), second = Node()
            first.other = second
            wait()
            second.other = first
        }
    },
    "leak/held-while-parked": {
        lose {
            let memory = unsafe Memory(count: 1000)
            wait()
            unsafe memory.use()
        }
    },
    "leak/held-by-many-while-parked": {
        let gate = Channel<Never>(), ready = Channel<Void>(), done = WaitGroup()
        for _ in 0..<50 {
            // Deeper than what they do at their end, so that it stays on the stacks.
            done.go {
                _ = descend(100) {
                    useMemory {
                        ready <- ()
                        gate.receive()
                    }
                }
            }
        }
        for _ in 0..<50 { ready.receive() }
        wait()
        gate.close()
        done.wait()
    },
    "leak/dropped-by-the-receiver": {
        lose {
            let channel = unsafe Channel<Memory>(), done = Channel<Void>()
            go {
                unsafe channel.receive()!.use()
                done <- ()
            }
            unsafe channel.send(Memory())
            done.receive()
        }
    },
    // The goroutines are still there, but what they have lost is where their stacks are no longer in use.
    "leak/before-a-park-for-good": {
        let lost = Channel<Void>()
        for _ in 0..<20 {
            go {
                _ = descend(100) { leak() }
                lost <- ()
                Channel<Void>().receive()
            }
        }
        for _ in 0..<20 { lost.receive() }
        wait()
    },
    "leak/of-some-that-yield-for-ever": {
        let lost = Channel<Void>()
        for _ in 0..<20 {
            go {
                _ = descend(100) { leak() }
                lost <- ()
                while true { Goroutine.yield() }
            }
        }
        for _ in 0..<20 { lost.receive() }
        wait()
    },
]

private let rightPrograms: [String: @Sendable () -> Void] = [
    "clean/many-short-ones": {
        let done = WaitGroup()
        for _ in 0..<2000 { done.go { Goroutine.yield() } }
        done.wait()
    },
    "clean/used-stacks": {
        for size in [nil, 32 << 10, 1 << 20, nil, 32 << 10, 1 << 20] {
            for levels in [1, 30, 10, 20] {
                run(stackSize: size) {
                    _ = descend(levels) { wait() }
                    bury(10)
                }
            }
        }
    },
    // The frames of those that ended must not lie in the way of those that come.
    "clean/shallow-then-deep": {
        for _ in 0..<50 {
            run { Goroutine.yield() }
            run { _ = descend(300) { Goroutine.yield() } }
        }
    },
    "clean/deep": { run(stackSize: 16 << 20) { print(descend(20_000)) } },
    "clean/large-stack": {
        run(stackSize: 256 << 20) {
            unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 100 << 20) {
                unsafe $0.initialize(repeating: 1)
                wait()
                print(unsafe $0.last!)
            }
        }
    },
    "clean/ping-pong": {
        let there = Channel<Node>(), back = Channel<Node>()
        go {
            for node in there { back <- node }
            back.close()
        }
        run {
            for _ in 0..<2000 {
                there <- Node()
                back.receive()
            }
            there.close()
        }
    },
    "clean/to-and-from-threads": {
        let channel = Channel<Node>(capacity: 3), done = WaitGroup()
        for _ in 0..<8 {
            done.go {
                for _ in 0..<100 {
                    channel <- Node()
                    Goroutine.yield()
                }
            }
        }
        for _ in 0..<800 { channel.receive() }
        done.wait()
    },
    "clean/select": {
        let first = Channel<Node>(), second = Channel<Node>(), done = WaitGroup()
        done.go { for _ in 0..<300 { first <- Node() } }
        done.go { for _ in 0..<300 { second <- Node() } }
        run {
            for _ in 0..<600 {
                select {
                    Receive(first) { _ in Goroutine.yield() }
                    Receive(second) { _ in }
                    After(.seconds(100)) { fatalError() }
                }
            }
        }
        done.wait()
    },
    "clean/timers": {
        run {
            for n in 0..<20 {
                let node = Node()
                _ = Time.Timer(.milliseconds(n)) { node.number += 1 }
                select { After(.milliseconds(1)) {} }
            }
        }
    },
    "clean/tasks": {
        run {
            for n in 0..<50 {
                let node = runBlocking {
                    await Task.yield()
                    return Node()
                }
                if node.number + n == 0 { fatalError() }
            }
        }
    },
    "clean/goroutines-from-tasks": {
        runBlocking {
            await withTaskGroup(of: Int.self) { group in
                for n in 0..<50 {
                    group.addTask {
                        await Goroutine.run {
                            wait()
                            return n
                        }
                    }
                }
                for await _ in group {}
            }
        }
    },
    "clean/blocking": {
        let done = WaitGroup()
        for _ in 0..<20 {
            done.go {
                let node = Node()
                _ = blocking { usleep(2000) }
                node.number += 1
            }
        }
        done.wait()
    },
    "clean/locked-threads": {
        let done = WaitGroup()
        for _ in 0..<8 { done.go { Goroutine.withLockedThread { for _ in 0..<10 { wait() } } } }
        done.wait()
    },
    "clean/errors": {
        for _ in 0..<50 {
            run {
                do { try fail(after: 20) } catch { Goroutine.yield() }
                bury()
            }
        }
    },
    "clean/locks": {
        let mutex = CSP.Mutex(), done = WaitGroup()
        for _ in 0..<10 {
            done.go {
                for _ in 0..<50 {
                    mutex.lock()
                    Goroutine.yield()
                    mutex.unlock()
                }
            }
        }
        done.wait()
    },
    "clean/contexts": {
        let done = WaitGroup()
        for _ in 0..<20 {
            let (context, cancel) = Context.background.withCancel()
            done.go { context.done.receive() }
            go { cancel() }
        }
        done.wait()
    },
    "clean/scopes": {
        run {
            let numbers = try? withGoroutines { scope in
                try scope.map(0..<50) { n in
                    wait()
                    return n
                }
            }
            if numbers?.count != 50 { fatalError() }
        }
    },
    "clean/named": {
        let done = WaitGroup()
        for n in 0..<50 { done.go("a name that is too long to be in the string itself, \(n)") { wait() } }
        done.wait()
    },
    "clean/dump": {
        for _ in 0..<20 { go { _ = descend(100) { Channel<Void>().receive() } } }
        go { while true { Goroutine.yield() } }
        wait()
        run { for _ in 0..<3 { if Goroutine.dump().isEmpty { fatalError() } } }
    },
    // Whoever looks for the program's libraries looks into all that is mapped, and is given up.
    "clean/dump-beside-a-file-cut-short": {
        guard let file = unsafe tmpfile(), unsafe ftruncate(fileno(file), 65_536) == 0,
            unsafe mmap(nil, 65_536, PROT_READ, MAP_PRIVATE, fileno(file), 0) != MAP_FAILED,
            unsafe ftruncate(fileno(file), 0) == 0
        else { fatalError() }
        run { if Goroutine.dump().isEmpty { fatalError() } }
    },
    // What a goroutine refers to is no leak, however it waits at the end.
    "clean/parked-for-good": {
        for _ in 0..<50 {
            go {
                let memory = unsafe Memory()
                Channel<Void>().receive()
                unsafe memory.use()
            }
        }
        wait()
        bury()
    },
    "clean/parked-deep-down": {
        for _ in 0..<20 {
            go {
                let memory = unsafe Memory(), node = Node()
                _ = descend(200) { Channel<Void>().receive() }
                unsafe memory.use()
                node.number += 1
            }
        }
        wait()
        bury()
    },
    "clean/holds-by-a-frame-only": {
        for _ in 0..<20 {
            go {
                var pointers = unsafe (Memory().bytes, Memory().bytes, Memory().bytes)
                unsafe withUnsafeMutablePointer(to: &pointers) {
                    Channel<Void>().receive()
                    print(unsafe $0.pointee.1.pointee)
                }
            }
        }
        wait()
        bury()
    },
    "clean/captured-by-the-parked": {
        for _ in 0..<20 {
            let node = Node(), memory = unsafe Memory()
            go {
                Channel<Void>().receive()
                node.number += 1
                unsafe memory.use()
            }
        }
        wait()
        bury()
    },
    "clean/not-yet-begun": {
        run {
            for _ in 0..<2000 {
                let memory = unsafe Memory()
                go {
                    Channel<Void>().receive()
                    unsafe memory.use()
                }
            }
            exit(0)
        }
    },
    "clean/asleep": {
        for _ in 0..<20 {
            go {
                let memory = unsafe Memory()
                Time.sleep(for: .seconds(1000))
                unsafe memory.use()
            }
        }
        wait()
        bury()
    },
    "clean/in-select-for-good": {
        for _ in 0..<20 {
            go {
                let memory = unsafe Memory(), first = Channel<Node>(), second = Channel<Node>(capacity: 1)
                select {
                    Receive(first) { _ in }
                    Receive(second) { _ in }
                }
                unsafe memory.use()
            }
        }
        wait()
        bury()
    },
    "clean/waits-for-a-lock": {
        let mutex = CSP.Mutex()
        mutex.lock()
        for _ in 0..<20 {
            go {
                let memory = unsafe Memory()
                mutex.withLock { _ in }
                unsafe memory.use()
            }
        }
        wait()
        bury()
    },
    // The receiver is parked, and has the value on its stack only.
    "clean/handed-to-the-parked": {
        let channel = unsafe Channel<Memory>()
        go {
            let memory = unsafe channel.receive()!
            Channel<Void>().receive()
            unsafe memory.use()
        }
        go {
            wait()
            unsafe channel.send(Memory())
        }
        wait()
        wait()
        bury()
    },
    "clean/computes-at-the-end": {
        for _ in 0..<3 {
            go {
                let memory = unsafe Memory()
                while true { unsafe memory.use() }
            }
        }
        wait()
    },
    "clean/yields-at-the-end": {
        for _ in 0..<10 {
            go {
                let memory = unsafe Memory()
                while true {
                    Goroutine.yield()
                    unsafe memory.use()
                }
            }
        }
        wait()
    },
    "clean/blocks-at-the-end": {
        for _ in 0..<10 {
            go {
                let memory = unsafe Memory()
                _ = blocking { sleep(1000) }
                unsafe memory.use()
            }
        }
        wait()
    },
    "clean/ends-on-a-goroutine": {
        let memory = unsafe Memory()
        go {
            let own = unsafe Memory()
            exit(unsafe own.bytes[0] == 1 ? 0 : 1)
        }
        while true {
            wait()
            unsafe memory.use()
        }
    },
    "clean/come-and-go-at-the-end": {
        go {
            while true {
                let memory = unsafe Memory()
                go {
                    Goroutine.yield()
                    unsafe memory.use()
                    unsafe memory.free()
                }
                Goroutine.yield()
            }
        }
        wait()
    },
]

let addressPrograms = wrongPrograms.merging(rightPrograms) { first, _ in first }
