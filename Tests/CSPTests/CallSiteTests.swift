import CSP
import Foundation
import Testing

// The call sites that users' programs rely on, as they would write them.

func say(_ text: String) {
    for _ in 0..<3 {
        Time.sleep(for: .milliseconds(100))
        print(text)
    }
}
func descriptionsSnippets() {
    go { say("world") }
    say("hello")

    let answers = Channel<Int>()
    go("answering") {
        answers <- 42
        answers.close()
    }
    print((<-answers)!)
    for answer in answers { print(answer) }

    let first = Channel<String>(), second = Channel<String>()
    select {
        Receive(first) { message in print("received", message!) }
        Receive(second) { message in print("received", message!) }
        After(.seconds(1)) { print("timeout") }
        Default { print("no activity") }
    }

    let workers = WaitGroup()
    for i in 0..<5 {
        workers.add()
        go {
            defer { workers.done() }
            print("Worker \(i)")
            Time.sleep(for: .seconds(1))
        }
    }
    workers.wait()
}

func producer(_ out: SendChannel<Int>) {
    for i in 0..<10 { out <- i }
    out.close()
}
func consumer(_ input: ReceiveChannel<Int>) {
    for value in input { print(value) }
}

final class SafeCounter: Sendable {
    private let counts = CSP.Mutex<[String: Int]>([:])
    func increment(_ key: String) { counts.withLock { $0[key, default: 0] += 1 } }
    func value(_ key: String) -> Int? { counts.withLock { $0[key] } }
}

func expensiveComputation() -> Int { 7 }
func best(_ context: Context) throws -> Int {
    let result = Channel<Int>(capacity: 1)
    go { result <- expensiveComputation() }
    return try select {
        Receive(result) { $0! }
        Canceled(context)
    }
}

// Bodies that throw, that differ in type, that only discard.

struct Stopped: Error {}
func bodies(_ numbers: Channel<Int>, _ quit: Channel<Never>, _ maybe: Channel<Int>?) throws {
    var seen = 0
    let total = SharedAtomic(0)
    while seen < 10 {
        let n: Int = try select {
            Receive(numbers) { $0 ?? 0 }
            Receive(quit) { _ -> Int in throw Stopped() }
        }
        seen += n
    }
    select {
        Receive(numbers) { total.add($0!) }
        Receive(quit) { _ in }
    }
    select {
        Receive(maybe) { _ in }
        Send(3, to: numbers) {}
        Default {}
    }
    let cases = (0..<4).map { i in AnySelectCase(Receive(numbers) { ($0 ?? 0) + i }) }
    print(select(cases))
}

// Ownership moves.

final class Document { var text = "" }
func ownership(_ drafts: Channel<Document>, _ done: Channel<Document>) {
    go {
        for draft in drafts {
            draft.text += "!"
            done.send(draft)
        }
        done.close()
    }
}
struct File: ~Copyable {
    let descriptor: Int32
    deinit { close(descriptor) }
}
func noncopyable() {
    let files = Channel<File>(capacity: 1)
    var slot: File? = File(descriptor: dup(0))
    if !files.trySend(from: &slot) { print("full, still ours") }
    if let file = files.receive() { print(file.descriptor) }
    files.receive()
}

// Contexts, groups, locks.

func groups() throws {
    let (context, cancel) = Context.background.withTimeout(.seconds(1))
    defer { cancel() }
    let (group, inner) = ErrorGroup.withContext(context, limit: 10)
    for i in 0..<100 {
        group.go {
            try inner.check(); if i == 1_000 { throw Stopped() }
        }
    }
    try group.wait()
    print(try best(context), context.done == context.done)
    let slots = Semaphore(3)
    slots.acquire()
    try slots.acquire(2, in: context)
    slots.release(3)
    let cached = RWMutex(["a": 1])
    print(cached.withReadLock { $0["a"] } as Any)
    let size = try Goroutine.run("sizes", stackSize: 1 << 20) {
        try blocking { try Data(contentsOf: URL(filePath: "/etc/hostname")).count }
    }
    print(size)
}

// With Swift's async/await.

@MainActor final class Screen {
    var shown = 0
    func follow(_ numbers: Channel<Int>, _ quit: Channel<Never>) async throws {
        try await numbers.send(1)
        for try await n in numbers { shown += n }
        try await select {
            Receive(numbers) { self.shown += $0 ?? 0 }
            Receive(quit) { _ in }
            After(.seconds(1)) {}
        }
        shown += await Goroutine.run { expensiveComputation() }
        shown += try await Goroutine.run { try best(.current) }
    }
}
func forwarding(_ from: Channel<Document>, _ to: Channel<Document>) async throws {
    for try await document in from { try await to.send(document) }
}

@Suite struct CallSiteTests {
    @Test func snippetsRun() {
        inGoroutine {
            descriptionsSnippets()
            let out = Channel<Int>()
            go { producer(out.sender) }
            consumer(out.receiver)
        }
    }

    @Test func bodiesThrowAndDiffer() {
        inGoroutine {
            let numbers = Channel<Int>(capacity: 20), quit = Channel<Never>()
            for n in 0..<15 { numbers <- n }
            try bodies(numbers, quit, nil)
            quit.close()
            while case .value = numbers.tryReceive() {}
            #expect(throws: Stopped.self) { try bodies(numbers, quit, nil) }
        }
    }

    @Test func groupsAndLocksRun() throws {
        try groups()
        inGoroutine { try groups() }
        let counter = SafeCounter(), all = WaitGroup()
        for _ in 0..<100 { all.go { counter.increment("a") } }
        all.wait()
        #expect(counter.value("a") == 100)
    }

    @Test func theBestFixGivesUp() {
        inGoroutine {
            let answer = try best(.background)
            #expect(answer == 7)
            let (context, cancel) = Context.background.withCancel()
            cancel()
            var gaveUp = 0
            for _ in 0..<100 where (try? best(context)) == nil { gaveUp += 1 }
            #expect(gaveUp > 0)
        }
    }

    @Test func documentsChangeHands() {
        inGoroutine {
            let drafts = Channel<Document>(), done = Channel<Document>()
            ownership(drafts, done)
            drafts.send(Document())
            #expect(done.receive()?.text == "!")
            drafts.close()
            #expect(done.receive() == nil)
        }
    }
    @Test(.timeLimit(.minutes(10))) func tasksFollowAndForward() async throws {
        let numbers = Channel<Int>(capacity: 4), quit = Channel<Never>()
        let screen = Screen()
        go {
            // `follow` sends a 1 before it receives: there must be room for it whoever comes first, and it was sent once all are received.
            for n in 2...4 { numbers <- n }
            while numbers.count > 0 { Time.sleep(for: .microseconds(100)) }
            numbers.close()
        }
        try await screen.follow(numbers, quit)
        // 1 to 4, the closed channel's nothing, and 7 twice.
        #expect(await screen.shown == 24)

        let drafts = Channel<Document>(), done = Channel<Document>()
        async let forwarded: Void = forwarding(drafts, done)
        try await drafts.send(Document())
        #expect(try await done.receive() != nil)
        drafts.close()
        try await forwarded
        let napped = try await Goroutine.run {
            try runBlocking { () async throws -> Int in
                try await Task.sleep(for: .milliseconds(1))
                return 3
            }
        }
        #expect(napped == 3)
    }
}
