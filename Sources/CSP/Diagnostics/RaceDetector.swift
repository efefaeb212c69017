import CCSP

/// What ThreadSanitizer is told of goroutines, so that it finds races between them, also between two on one thread, and none of ours.
///
/// - Each goroutine is a fiber of the sanitizer's. `leave` switches fibers where it switches stacks, without an order between the two.
/// - What the scheduler does is not looked at: `ignoring`, from a goroutine's `spawn`, `ready` or `park` until it is back in the user's code, and all
///   that workers and the monitor do outside goroutines. Go's detector does not see its runtime either.
/// - Nor is what goroutines share without knowing of each other, in their own line of execution: heaps of timers, grace periods, counts of sleepers.
/// - Instead it is told which order there is: `spawn` happens before the goroutine, `ready` before what follows `park`, and setting a timer before what it
///   brings about. The locks of channels and of all types for users are atomics, in the user's line of execution, which the sanitizer understands by itself;
///   but one that is held until its goroutine has left its stack is released by somebody else, unseen, so the goroutine says before that it has released it.
/// - Control blocks and stacks are used again by goroutines that have no order with those before: that memory begins a new life.
/// - Fibers there are under AddressSanitizer, too (CCSP/address.c), where all that concerns order does nothing.
/// - A stack never changes hands while somebody is on it, which would need one fiber to end inside another's frames.
///
/// So there is more order than there should be: operations on one channel are ordered by its lock, and readers of one `RWMutex` by their count, where
/// Go's memory model orders nothing. A race that only such an order hides is not reported in that run.
@usableFromInline
enum RaceDetector {
    // SAFETY: (whole type) addresses are used as such only.
    @inline(__always)
    static var isOn: Bool { csp_detects_races }

    /// Runs `body`, which belongs to the scheduler.
    @inline(__always)
    static func ignoring<T>(_ body: () -> T) -> T {
        guard isOn else { return body() }
        csp_race_ignore()
        defer { csp_race_heed() }
        return body()
    }

    /// For the end of memory that readers have looked at: the grace period after which it ends orders no more than that, and is unseen.
    @usableFromInline @inline(never)
    static func ignoreAccesses() { if isOn { csp_race_ignore_accesses() } }
    @usableFromInline @inline(never)
    static func heedAccesses() { if isOn { csp_race_heed_accesses() } }

    /// Whoever sets the timer of `channel` does so before somebody receives what it sends. The timer itself fires unseen; so the channel's lock stands for
    /// it, which a receiver that need not wait takes anyway.
    static func sets(timerOf channel: ChannelRef) { if isOn { unsafe csp_race_release(channel.lockWord.address) } }

    /// The same, for who has waited.
    @inline(__always)
    static func hasWaited(for channel: ChannelRef) {
        if isOn, unsafe channel.core.timer != nil { unsafe csp_race_acquire(channel.lockWord.address) }
    }

    /// The same for an operation on one channel.
    static func hasWaited(_ afterwards: Afterwards) {
        if isOn, case .unlockChannel(let channel, _) = afterwards { hasWaited(for: channel) }
    }

    /// A goroutine is back from the scheduler: after who has made it ready, and after the beginning of the thread that it is on now, which has
    /// initialised its thread locals.
    static func goOn(_ goroutine: GoroutineRef) {
        csp_race_heed()
        unsafe csp_fiber_woken(goroutine.cell.fiber)
        unsafe csp_fiber_woken(goroutine.cell.worker!.cell.fiber)
    }

    /// Before a goroutine leaves its stack, under locks that somebody else lets go of.
    static func release(_ afterwards: Afterwards) {
        switch afterwards {
        case .unlockChannel(let channel, _): unsafe csp_race_release(channel.lockWord.address)
        case .unlock(let lock): unsafe csp_race_release(lock.address)
        case .unlockAll(let locks): unsafe locks.pointee.forEach { unsafe csp_race_release($0.address) }
        case .nothing, .enqueue, .recycle: break
        }
    }

    /// Resumes a task, which calls `hasResumed` then. Swift's runtime tells of no order where a task is resumed before it has quite suspended, and
    /// accesses its memory from the resuming side.
    static func resume(_ continuation: UnsafeContinuation<Void, Never>, _ token: UnsafeRawPointer) {
        guard isOn else { return unsafe continuation.resume() }
        unsafe csp_race_release(token)
        csp_race_ignore_accesses()
        unsafe continuation.resume()
        csp_race_heed_accesses()
    }

    static func hasResumed(_ token: UnsafeRawPointer) { if isOn { unsafe csp_race_acquire(token) } }
}
