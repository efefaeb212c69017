import Synchronization

/// The goroutines that descend from one call, a test's or a bubble's: `go` passes the membership on. To be counted, and shown, together.
package final class Family: @unchecked Sendable {
    // SAFETY: (whole type) written once, but for an atomic. Joined before the goroutine runs, left after its body with release: who sees zero sees what
    // all of them have done.
    /// Its members are members of this one too.
    private let parent: Family?
    let bubble: Bubble?
    private let members = Atomic<Int>(0)

    /// Of a task or a thread; a goroutine has it in its control block.
    @TaskLocal private static var bound: Family?
    /// Families there are.
    private static let inUse = Atomic<Int>(0)

    /// A family below the caller's.
    package init() {
        parent = Self.current
        bubble = parent?.bubble
        Self.inUse.add(1, ordering: .relaxed)
    }

    /// Those of `bubble`, which belong to the caller's family too.
    init(of bubble: Bubble) {
        parent = Self.current
        self.bubble = bubble
        Self.inUse.add(1, ordering: .relaxed)
    }

    deinit { Self.inUse.subtract(1, ordering: .relaxed) }

    /// The caller's.
    static var current: Family? { of(GoroutineRef.current) }

    /// What `creator`, the calling goroutine if it is one, passes on.
    @inline(__always)
    static func of(_ creator: GoroutineRef?) -> Family? {
        if let family = creator?.cell.family { return family }
        return mayBeBound ? bound : nil
    }

    /// While this is false nobody need look for his own. Relaxed: whoever is in a family got it after it was counted, by a task-local or as a goroutine.
    @inline(__always)
    static var mayBeBound: Bool { inUse.load(ordering: .relaxed) != 0 }

    /// Goroutines that have been started and not yet returned.
    package var count: Int { members.load(ordering: .acquiring) }

    func join() {
        var each: Family? = self
        while let family = each {
            family.members.add(1, ordering: .relaxed)
            each = family.parent
        }
    }

    func leave() {
        var each: Family? = self
        while let family = each {
            family.members.subtract(1, ordering: .releasing)
            each = family.parent
        }
    }

    fileprivate func isOrDescends(from other: Family) -> Bool {
        var each: Family? = self
        while let family = each {
            if family === other { return true }
            each = family.parent
        }
        return false
    }

    /// Runs `body`, whose goroutines become members.
    package func gather<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        if let goroutine = GoroutineRef.current {
            let outer = goroutine.cell.family
            goroutine.setFamily(self)
            defer { goroutine.setFamily(outer) }
            return try body()
        }
        let result = Self.$bound.withValue(self) { () -> Result<T, E> in
            do throws(E) { return .success(try body()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The same in a task.
    nonisolated(nonsending)
        package func gather<T>(_ body: () async throws -> T) async throws -> T
    {
        try await Self.$bound.withValue(self) { try await body() }
    }

    /// Each member's id, name, state, stack and creator, as `Goroutine.dump` prints them.
    package func describeMembers() -> String { Dump.text { $0.belongs(to: self) } }
}

extension GoroutineRef {
    /// Written under `nameLock`, since those who describe a family read it; its owner may read it without.
    @inline(never)
    func setFamily(_ family: consuming Family?) {
        nameLock.lock()
        swap(&cell.family, &family)
        cell.isInFamily = cell.family != nil
        nameLock.unlock()
    }

    /// Whether this goroutine, which others may run, is one of them. False where nobody can say any more.
    func belongs(to family: Family) -> Bool {
        nameLock.lock()
        defer { nameLock.unlock() }
        return cell.family?.isOrDescends(from: family) ?? false
    }

    /// The bubble that it lives in.
    @inline(__always)
    var bubble: Bubble? { cell.family?.bubble }

    @inline(never)
    func leaveFamily() {
        if let bubble, bubble.isGuided { bubble.note(.end, self) }
        cell.family!.leave()
        setFamily(nil)
    }
}
