import CCSP

/// A function on a stack.
package struct StackFrame: Sendable, Hashable {
    /// "Module.function(_:)", demangled.
    package let function: String
    /// Where it is known: the path of the source file, or else of the program or library.
    package let file: String
    /// 0 if it is not known.
    package let line: Int
    /// The return address.
    package let address: UInt
    /// Of swift-csp itself.
    package let isRuntime: Bool

    init(_ frame: Symbolicator.Frame, _ address: UInt) {
        function = frame.name
        file = frame.file
        line = frame.line
        self.address = address
        isRuntime = frame.owner == .runtime || frame.owner == .base
    }
}

/// Goroutines with the same state, stack and creator, or one.
package struct GoroutineGroup: Sendable {
    package let count: Int
    /// The first few.
    package let ids: [UInt64]
    /// Of one.
    package let name: String?
    /// Go's words: "running", "runnable", "syscall", or what they wait for.
    package let state: String
    /// Zero unless they wait.
    package let longestWait: Duration
    package let shortestWait: Duration
    /// Innermost first, without the runtime's own at either end. Empty if it could not be seen.
    package let stack: [StackFrame]
    package let creator: StackFrame?
    package let creatorID: UInt64
}

/// All goroutines, as a dump shows them, for programs to read.
///
/// Blocks the calling thread, which must not be one of Swift's pool, for some tens of milliseconds, and longer where functions are looked up for the first
/// time. Memory has a bound: beyond 2,000 different stacks goroutines are only counted.
package enum GoroutineInspector {
    // SAFETY: (whole type) control blocks are immortal; what others may be writing is read by `csp_peek`.
    package struct Result: Sendable {
        package var groups: [GoroutineGroup] = []
        /// Goroutines beyond those groups.
        package var uncounted = 0
    }

    /// Of the goroutines with these ids, or of all.
    package static func groups(of ids: Set<UInt64>? = nil) -> Result {
        look(isGrouped: true) { ids?.contains($0) ?? true }
    }

    package static func goroutine(id: UInt64) -> GoroutineGroup? { look(isGrouped: false) { $0 == id }.groups.first }

    /// Those whose names have `text` in them, the first `limit` at the most.
    package static func named(_ text: String, limit: Int) -> [GoroutineGroup] {
        let ids = RaceDetector.ignoring { Self.ids(ofNamesWith: text, limit) }
        return ids.isEmpty ? [] : look(isGrouped: false) { ids.contains($0) }.groups
    }

    private static func ids(ofNamesWith text: String, _ limit: Int) -> Set<UInt64> {
        let core = unsafe SchedulerCore.shared
        var ids: Set<UInt64> = []
        core.cell.registry.forEach { goroutine in
            guard ids.count < limit, let (id, name) = goroutine.nameAndID, name.contains(text) else { return }
            ids.insert(id)
        }
        return ids
    }

    private static func look(isGrouped: Bool?, _ isWanted: @escaping (UInt64) -> Bool) -> Result {
        // Written by the thread that looks, until this one goes on.
        nonisolated(unsafe) var result = Result()
        Dump.census(isGrouped: isGrouped, { isWanted(unsafe csp_peek_64(&$0.pointer.pointee.id)) }) {
            census, symbolicator in
            let now = csp_now()
            // All at once: each look-up begins with much that is the same for all.
            symbolicator.learn(census.groups.flatMap { $0.trace + [$0.first.creatorAddress] }.filter { $0 != 0 })
            unsafe result.groups = census.groups.map { symbolicator.describe($0, now) }
            unsafe result.uncounted = census.uncounted
        }
        return unsafe result
    }
}

extension GoroutineRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// Of a goroutine that others run, if it has a name.
    var nameAndID: (UInt64, String)? {
        guard unsafe csp_peek_8(&pointer.pointee.status) != GoroutineCell.Status.free.rawValue else { return nil }
        nameLock.lock()
        defer { nameLock.unlock() }
        return cell.name.map { (unsafe csp_peek_64(&pointer.pointee.id), $0) }
    }
}

extension Symbolicator {
    fileprivate mutating func describe(_ group: Census.Group, _ now: Int64) -> GoroutineGroup {
        let isWaiting = group.first.state == .waiting
        let creator =
            group.first.creatorAddress == 0
            ? nil : frames(at: [group.first.creatorAddress])[0].first { !$0.isThunk }
        return GoroutineGroup(
            count: group.count, ids: group.ids.sorted(), name: group.name, state: group.first.stateText,
            longestWait: isWaiting ? .nanoseconds(now - group.longestSince) : .zero,
            shortestWait: isWaiting ? .nanoseconds(now - group.shortestSince) : .zero,
            stack: shown(group.trace, omitted: group.omitted),
            creator: creator.map { StackFrame($0, group.first.creatorAddress) },
            creatorID: group.first.creatorID)
    }

    /// What is at each address, innermost first where calls were inlined.
    package mutating func places(of addresses: [UInt]) -> [[StackFrame]] {
        zip(frames(at: addresses), addresses).map { frames, address in
            frames.filter { !$0.isThunk }.map { StackFrame($0, address) }
        }
    }

    /// As programs read them: with the operation that the user's code called, and what it was called by.
    package mutating func shown(_ trace: [UInt], omitted: Int) -> [StackFrame] {
        shownFrames(trace, omitted: omitted).map { StackFrame($0.frame, $0.address) }
    }
}
