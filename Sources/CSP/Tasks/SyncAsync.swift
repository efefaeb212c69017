// Locks and groups in Swift tasks.

extension Mutex where Value: ~Copyable {
    /// Suspends the Swift task until the lock is its own, then runs `body`, which cannot suspend, with the lock held; unlocks when it returns or
    /// throws. Waits even if the task is cancelled.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    /// - Complexity: One compare-exchange and a store when nobody else has it; else one allocation.
    @inlinable
    nonisolated(nonsending)
        public func withLock<T: ~Copyable, E: Error>(
            _ body: (inout sending Value) throws(E) -> sending T
        ) async throws(E) -> sending T
    {
        if !core.tryLock() {
            var nothing = _Placed<Void>(())
            _ = await _chooseSuspending(_AcquirePlan(core), &nothing, isCancellable: false)
        }
        defer {
            core.unlock()
            withExtendedLifetime(self) {}
        }
        // SAFETY: the lock is ours.
        return try unsafe body(&valueAddress.pointee)
    }
}

extension Semaphore {
    /// Suspends the Swift task until `count` units are free and everybody who came before has theirs, and takes them. A negative count traps.
    /// - Throws: `CancellationError`, with nothing taken, when the task is cancelled first.
    /// - Complexity: O(1); one allocation if it suspends.
    @inlinable
    nonisolated(nonsending)
        public func acquire(_ count: Int = 1) async throws(CancellationError)
    {
        if Task.isCancelled { throw CancellationError() }
        if core.tryAcquire(count) { return withExtendedLifetime(self) {} }
        var nothing = _Placed<Void>(())
        let index = await _chooseSuspending(_AcquirePlan(core, count), &nothing)
        withExtendedLifetime(self) {}
        if index < 0 { throw CancellationError() }
    }
}

extension WaitGroup {
    /// Suspends the Swift task until the counter is zero.
    /// - Throws: `CancellationError` when the task is cancelled first.
    /// - Complexity: O(1); one allocation if it suspends.
    nonisolated(nonsending)
        public func wait() async throws(CancellationError)
    {
        if Task.isCancelled { throw CancellationError() }
        if isZero { return }
        var nothing = _Placed<Void>(())
        let index = await _chooseSuspending(WaitGroupPlan(self), &nothing)
        withExtendedLifetime(self) {}
        if index < 0 { throw CancellationError() }
    }
}

/// Ready when a group's counter is zero.
@safe
private struct WaitGroupPlan: _SelectPlan {
    // SAFETY: (whole type) the caller keeps the group.
    private let group: Unmanaged<WaitGroup>

    init(_ group: WaitGroup) { unsafe self.group = .passUnretained(group) }

    static var count: Int { 1 }
    static var defaultIndex: Int { -1 }
    var firstLook: _SelectScan { secondLook() }
    func secondLook() -> _SelectScan { _SelectScan(ready: 0, versions: 0) }
    func attempt(_ index: Int, locked: Bool, _ slot: inout Void) -> Bool {
        if locked { unsafe WaitPoint.group(group).unlock() }
        return true
    }
    func describe(_ slot: inout Void, into entries: UnsafeMutablePointer<_SelectEntry>) {
        unsafe entries.initialize(to: _SelectEntry(.group, nil, group.toOpaque()))
    }
}

extension ErrorGroup {
    /// Suspends the Swift task until all goroutines are done, and throws the first error.
    ///
    /// `go` is for tasks too, but waits at a group's limit by blocking the thread: the goroutines need none of Swift's threads to go on. Where that
    /// matters, start them from within `Goroutine.run`.
    /// - Throws: The first error; `CancellationError` when the task is cancelled first, which cancels the group's context and does not wait for its
    ///   goroutines.
    nonisolated(nonsending)
        public func wait() async throws
    {
        do throws(CancellationError) {
            try await running.wait()
        } catch {
            cancel?(error)
            throw error
        }
        if let error = endContext() { throw error }
    }
}
