/// What the members of a guided bubble did, in order.
package struct ExplorationTrace: Sendable {
    struct Step {
        /// From 1, in the order in which they began; 0 for the clock.
        let goroutine: Int
        let operation: Operation
        /// From 1, in the order in which they were met, for each kind; 0 without. For the clock, nanoseconds since the beginning.
        let object: Int
    }

    /// An object and its number. Weak: it must go when it would otherwise, and what comes to its place later is another one.
    private struct Met: @unchecked Sendable {
        // SAFETY: (whole type) never changed once it is there.
        private(set) weak var object: AnyObject?
        let number: Int

        init(_ object: AnyObject, _ number: Int) {
            self.object = object
            self.number = number
        }
    }

    private(set) var steps: [Step] = []
    private var numbers: [UInt64: Int] = [:]
    private var names: [String?] = []
    private var objects: [ObjectIdentifier: Met] = [:]
    private var counts: [String: Int] = [:]

    mutating func meet(_ id: UInt64, _ name: String?) {
        names.append(name)
        numbers[id] = names.count
    }

    func number(of id: UInt64) -> Int { numbers[id]! }

    mutating func add(_ operation: Operation, _ object: AnyObject?, _ id: UInt64) {
        var number = 0
        if let kind = operation.object, let object {
            let key = ObjectIdentifier(object)
            if let known = objects[key], known.object === object {
                number = known.number
            } else {
                counts[kind, default: 0] += 1
                number = counts[kind]!
                objects[key] = Met(object, number)
            }
        }
        steps.append(Step(goroutine: numbers[id]!, operation: operation, object: number))
    }

    mutating func addTime(_ nanoseconds: Int64) {
        steps.append(Step(goroutine: 0, operation: .time, object: Int(nanoseconds)))
    }

    /// One line for each step; of very many only the last ones.
    package func describe(last most: Int = 200) -> String {
        var text = ""
        if steps.count > most { text += "  ... \(steps.count - most) steps before\n" }
        for (index, step) in steps.enumerated().suffix(most) {
            let who = step.goroutine == 0 ? "clock" : name(step.goroutine)
            let place = String(index + 1)
            text += String(repeating: " ", count: max(0, 5 - place.count)) + place + "  "
            text += who + String(repeating: " ", count: max(1, 16 - who.count)) + describe(step) + "\n"
        }
        return text
    }

    private func name(_ number: Int) -> String { names[number - 1].map { "\(number) \"\($0)\"" } ?? "\(number)" }

    private func describe(_ step: Step) -> String {
        if step.operation == .time { return "\(Duration.nanoseconds(Int64(step.object))) have passed" }
        guard let kind = step.operation.object, step.object > 0 else { return step.operation.name }
        return "\(step.operation.name)  \(kind) \(step.object)"
    }
}

/// What a goroutine does that others may see.
@usableFromInline
package enum Operation: UInt8, Sendable {
    case send, receive, trySend, tryReceive, close, select
    case lock, tryLock, unlock, readLock, tryReadLock, readUnlock, writeLock, tryWriteLock, writeUnlock
    case acquire, tryAcquire, release
    case wait, signal, broadcast, add, done, waitGroup, once
    case load, store, update
    case cancel, sleep, go, yield, end, time, mapRead, mapUpdate

    var name: String {
        switch self {
        case .readLock, .writeLock: "lock for \(self == .readLock ? "reading" : "writing")"
        case .tryReadLock, .tryWriteLock: "try to lock for \(self == .tryReadLock ? "reading" : "writing")"
        case .readUnlock, .writeUnlock: "unlock"
        case .trySend: "try to send"
        case .tryReceive: "try to receive"
        case .tryLock: "try to lock"
        case .tryAcquire: "try to acquire"
        case .waitGroup: "wait"
        case .once: "run once"
        case .mapRead: "read"
        case .mapUpdate: "update"
        default: "\(self)"
        }
    }

    /// What it is done with.
    var object: String? {
        switch self {
        case .send, .receive, .trySend, .tryReceive, .close: "channel"
        case .lock, .tryLock, .unlock: "mutex"
        case .readLock, .tryReadLock, .readUnlock, .writeLock, .tryWriteLock, .writeUnlock: "rwmutex"
        case .acquire, .tryAcquire, .release: "semaphore"
        case .wait, .signal, .broadcast: "condition"
        case .add, .done, .waitGroup: "group"
        case .once: "once"
        case .load, .store, .update: "atomic"
        case .cancel: "context"
        case .mapRead, .mapUpdate: "map"
        case .select, .sleep, .go, .yield, .end, .time: nil
        }
    }
}
