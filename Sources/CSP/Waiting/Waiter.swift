public import Synchronization

/// One place in a wait list: somebody who waits for one channel operation, in plain form or as a case of a select.
///
/// Lives in the waiting goroutine's control block, or on the stack of a thread or of a select; its owner cannot go on
/// before it is off every list.
@usableFromInline
@safe
struct Waiter: ~Copyable {
    // Guarded by the lock of the channel whose list it is in.
    @usableFromInline var next: UnsafeMutablePointer<Waiter>?
    @usableFromInline var previous: UnsafeMutablePointer<Waiter>?

    // Written by the owner before it queues.
    /// Where the value is (a sender: some) or goes (a receiver: nil, initialised): an `Element?`. Who waits for something else than a channel
    /// keeps a number here: see `since`, `isOnItsWay` and `demand`.
    @usableFromInline var slot: UnsafeMutableRawPointer?
    /// The select it is a case of, or nil.
    @usableFromInline var selection: UnsafeMutablePointer<Selection>?
    @usableFromInline var party: Party

    // Guarded by the lock.
    @usableFromInline var isQueued = false

    // Written by whoever completes the operation, before it makes the party ready.
    /// False when the channel was closed instead, or when a mutex is free for whoever is first and not handed over.
    @usableFromInline var succeeded = false

    // Written by the owner before it queues.
    @usableFromInline var caseIndex: Int32 = 0

    @usableFromInline
    init(party: Party) { self.party = party }

    /// The calling goroutine's own, or one for the calling thread, which arms for one wait.
    @inline(__always)
    static func withOwn<T>(_ body: (UnsafeMutablePointer<Waiter>) -> T) -> T {
        // SAFETY: control blocks are immortal.
        if let goroutine = GoroutineRef.current { return unsafe body(goroutine.waiter) }
        return unsafe withThreads(body)
    }

    /// Not inlined: a waiter on the stack would cost goroutines a larger frame, and a check of it.
    @inline(never)
    private static func withThreads<T>(_ body: (UnsafeMutablePointer<Waiter>) -> T) -> T {
        let thread = ThreadParker.current
        thread.arm()
        var waiter = Waiter(party: .thread(thread))
        // SAFETY: the waiter outlives the wait, and is off every list then.
        return unsafe withUnsafeMutablePointer(to: &waiter) { unsafe body($0) }
    }
}

extension Waiter {
    // SAFETY: (whole type) the number is never used as an address.
    /// For a mutex: since when it has waited, in nanoseconds.
    var since: Int64 {
        get { Int64(Int(bitPattern: unsafe slot)) }
        set { unsafe slot = UnsafeMutableRawPointer(bitPattern: Int(newValue)) }
    }

    /// For a condition: not parked yet. Whoever signals it takes it off the list, and does not make it ready.
    var isOnItsWay: Bool {
        get { unsafe slot != nil }
        set { unsafe slot = UnsafeMutableRawPointer(bitPattern: newValue ? 1 : 0) }
    }

    /// For a semaphore: how much it wants.
    var demand: Int {
        get { Int(bitPattern: unsafe slot) }
        set { unsafe slot = UnsafeMutableRawPointer(bitPattern: newValue) }
    }
}

/// Who waits.
@usableFromInline
enum Party {
    case goroutine(GoroutineRef)
    case thread(ThreadParker)
    /// Suspends itself: see TaskWait.swift.
    case task(TaskWaitRef)

    /// The calling goroutine, or else thread, which arms for one wait.
    static func caller() -> Party {
        if let goroutine = GoroutineRef.current { return .goroutine(goroutine) }
        let thread = ThreadParker.current
        thread.arm()
        return .thread(thread)
    }

    /// Before it queues again.
    func rearm() { if case .thread(let thread) = self { thread.arm() } }

    /// Returns after `ready`. What `afterwards` names is released once others may see the waiters.
    @inline(__always)
    func block(_ reason: WaitReason, _ afterwards: Afterwards) {
        switch self {
        case .goroutine(let goroutine): goroutine.park(reason, afterwards)
        case .thread(let thread): thread.block(afterwards)
        case .task: fatal("fatal error: a Swift task was to be parked")
        }
    }

    /// Lets the party go on. It may run, and its waiter be gone, before this returns.
    @inlinable @inline(__always)
    func ready() {
        if case .goroutine(let goroutine) = self { goroutine.ready() } else { readyOther() }
    }

    @usableFromInline @inline(never)
    func readyOther() {
        switch self {
        case .goroutine: break
        case .thread(let thread): thread.ready()
        case .task(let wait): wait.resume()
        }
    }
}

/// What the waiters of one select have in common: the first to claim it wins.
@usableFromInline
struct Selection: ~Copyable {
    /// The winning case's index; `undecided` until one has been claimed.
    @usableFromInline let winner = Atomic<Int>(Selection.undecided)
    @usableFromInline static var undecided: Int { @inlinable get { -1 } }
    /// In place of an index: a task's cancellation has won.
    @usableFromInline static var cancelled: Int { @inlinable get { -2 } }

    /// True for exactly one caller. Whoever wins must complete the case and make the party ready.
    @usableFromInline
    func claim(_ index: Int32) -> Bool {
        winner.compareExchange(
            expected: Self.undecided, desired: Int(index), ordering: .acquiringAndReleasing
        ).exchanged
    }
}

/// A first-in first-out list of waiters, linked through themselves. Guarded by its owner's lock.
@usableFromInline
@safe
struct WaitList: ~Copyable {
    // SAFETY: (whole type) a list is read under its owner's lock; a waiter stays until it is made ready.
    @usableFromInline var first: UnsafeMutablePointer<Waiter>?
    @usableFromInline var last: UnsafeMutablePointer<Waiter>?

    @usableFromInline var isEmpty: Bool { @inlinable @inline(__always) get { unsafe first == nil } }

    // SAFETY: (whole type) queued waiters stay valid until they are off the list, which only happens under the lock.
    @inlinable
    mutating func append(_ waiter: UnsafeMutablePointer<Waiter>) {
        unsafe waiter.pointee.next = nil
        unsafe waiter.pointee.previous = unsafe last
        unsafe waiter.pointee.isQueued = true
        if let last = unsafe last { unsafe last.pointee.next = unsafe waiter } else { unsafe first = unsafe waiter }
        unsafe last = unsafe waiter
    }

    mutating func prepend(_ waiter: UnsafeMutablePointer<Waiter>) {
        guard let old = unsafe first else { return unsafe append(waiter) }
        unsafe waiter.pointee.next = unsafe old
        unsafe waiter.pointee.previous = nil
        unsafe waiter.pointee.isQueued = true
        unsafe old.pointee.previous = unsafe waiter
        unsafe first = unsafe waiter
    }

    mutating func replace(_ old: UnsafeMutablePointer<Waiter>, by new: UnsafeMutablePointer<Waiter>) {
        let next = unsafe old.pointee.next, previous = unsafe old.pointee.previous
        unsafe new.pointee.next = unsafe next
        unsafe new.pointee.previous = unsafe previous
        if let next = unsafe next { unsafe next.pointee.previous = unsafe new } else { unsafe last = unsafe new }
        if let previous = unsafe previous {
            unsafe previous.pointee.next = unsafe new
        } else {
            unsafe first = unsafe new
        }
        unsafe new.pointee.isQueued = true
        unsafe old.pointee.isQueued = false
    }

    @inlinable
    mutating func remove(_ waiter: UnsafeMutablePointer<Waiter>) {
        let next = unsafe waiter.pointee.next, previous = unsafe waiter.pointee.previous
        if let previous = unsafe previous {
            unsafe previous.pointee.next = unsafe next
        } else {
            unsafe first = unsafe next
        }
        if let next = unsafe next {
            unsafe next.pointee.previous = unsafe previous
        } else {
            unsafe last = unsafe previous
        }
        unsafe waiter.pointee.isQueued = false
    }

    /// Takes the longest waiter that can still be served; those whose select another case has won are dropped.
    @inlinable @inline(__always)
    mutating func takeFirst() -> UnsafeMutablePointer<Waiter>? {
        guard let waiter = unsafe first else { return nil }
        if unsafe waiter.pointee.selection != nil { return unsafe takeFirstServable() }
        unsafe dropFirst(waiter)
        return unsafe waiter
    }

    @inlinable @inline(never)
    mutating func takeFirstServable() -> UnsafeMutablePointer<Waiter>? {
        while let waiter = unsafe first {
            unsafe dropFirst(waiter)
            guard let selection = unsafe waiter.pointee.selection else { return unsafe waiter }
            if unsafe selection.pointee.claim(waiter.pointee.caseIndex) { return unsafe waiter }
        }
        return nil
    }

    @inlinable @inline(__always)
    mutating func dropFirst(_ waiter: UnsafeMutablePointer<Waiter>) {
        let next = unsafe waiter.pointee.next
        unsafe first = unsafe next
        if let next = unsafe next { unsafe next.pointee.previous = nil } else { unsafe last = nil }
        unsafe waiter.pointee.isQueued = false
    }
}

/// Waiters that were taken off their lists under a lock and are made ready once it is released. Linked through themselves: each stays
/// parked until then.
@safe
struct ReadyChain: ~Copyable {
    // SAFETY: (whole type) whoever takes a waiter off its list owns it until it makes it ready.
    private var first: UnsafeMutablePointer<Waiter>?
    private var last: UnsafeMutablePointer<Waiter>?

    mutating func append(_ waiter: UnsafeMutablePointer<Waiter>) {
        unsafe waiter.pointee.next = nil
        if let last = unsafe last { unsafe last.pointee.next = unsafe waiter } else { unsafe first = unsafe waiter }
        unsafe last = unsafe waiter
    }

    /// In order. Without the lock.
    consuming func ready() {
        var first = unsafe first
        while let waiter = unsafe first {
            // Read first: a woken waiter's memory is its owner's again.
            unsafe first = unsafe waiter.pointee.next
            let party = unsafe waiter.pointee.party
            party.ready()
        }
    }
}
