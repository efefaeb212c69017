import CCSP
import Synchronization

// How goroutines come to know that a descriptor can be read or written.
//
// An operation on a descriptor tries the system call first, and waits only if that would block (PollDescriptor.swift). The kernel tells of changes
// through a backend (Poller+Epoll.swift), which somebody has to ask: a worker that has nothing to do waits there instead of on its futex (one at a
// time: Attendance.swift), busy workers look now and then, and the monitor sees when nobody has looked for long.

/// What a system supplies. Several threads use it at once.
protocol PollBackend {
    /// The error's number if the system refuses.
    static func open() -> Result<Self, SystemError>
    /// Tells of each change of `descriptor` that `interest` names, from now on, and of how it is now. Changes may be told once for several, and with
    /// no reason. 0, or the error's number.
    func watch(_ descriptor: Int32, _ token: UInt64, _ interest: PollDirections, isNew: Bool) -> Int32
    func forget(_ descriptor: Int32)
    /// Waits for changes, at most so many nanoseconds (negative: for ever), and passes them to `body`. May return early.
    func wait(atMost nanoseconds: Int64, _ body: (UnsafeBufferPointer<csp_poll_event>) -> Void)
    /// Ends somebody's wait, or the next one.
    func interrupt()
    /// Whether there seem to be changes that nobody has been told of.
    var hasEvents: Bool { get }
}

/// A system call's error number.
package struct SystemError: Error {
    package let code: Int32
}

/// Reading, writing, or both.
package struct PollDirections: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let reading = PollDirections(rawValue: UInt32(CSP_POLL_READ))
    package static let writing = PollDirections(rawValue: UInt32(CSP_POLL_WRITE))
}

/// The scheduler's part in it. Costs a load now and then until the first descriptor is watched.
@safe
struct Poller: ~Copyable {
    // SAFETY: (whole type) the backend is written once, before `isInUse` says so.
    // Guarded by the idle lock until `isInUse`.
    private var opened: EpollBackend?
    /// Whether a descriptor was ever watched.
    let isInUse = Atomic<Bool>(false)
    /// Whether somebody waits in the backend, or is on the way in or out: see Attendance.swift. Set under the idle lock.
    let isAttended = Atomic<Bool>(false)
    /// Counts looks that were not waits, for the monitor.
    private let looks = Atomic<UInt32>(0)
    /// Who waits for a descriptor, goroutines, threads and tasks: each can be made ready from outside. May be higher for a moment, never lower.
    let waiting = Atomic<Int>(0)

    /// Descriptors that the kernel tells of.
    let watched = Atomic<Int>(0)

    /// Once it is in use.
    var backend: EpollBackend {
        @inline(__always) get { opened! }
    }

    /// Guarded by the idle lock. 0, or an error's number.
    mutating func open() -> Int32 {
        if opened != nil { return 0 }
        switch EpollBackend.open() {
        case .success(let backend): opened = backend
        case .failure(let error): return error.code
        }
        isInUse.store(true, ordering: .sequentiallyConsistent)
        return 0
    }

    /// Whether a worker that has a processor should look: nobody else is told of events.
    var wantsLooks: Bool {
        @inline(__always) get {
            isInUse.load(ordering: .relaxed) && !isAttended.load(ordering: .relaxed)
        }
    }

    /// By a worker in its loop, with a processor: makes ready who waits for what has happened. True if there may be any.
    func look() -> Bool {
        looks.wrappingAdd(1, ordering: .relaxed)
        return wait(atMost: 0)
    }

    /// By a worker: as `look`, but waits. `rise` comes before anybody is made ready.
    func wait(atMost nanoseconds: Int64, rise: () -> Void = {}) -> Bool {
        var found = false
        unsafe backend.wait(atMost: nanoseconds) { events in
            found = true
            rise()
            for index in events.indices { PollCellRef.notify(unsafe events[index]) }
        }
        return found
    }

    /// For the monitor's eye: something has happened, and nobody has looked since `watch` was made, for at least a doze.
    func isNeglected(_ watch: inout PollWatch, _ now: Int64) -> Bool {
        guard wantsLooks else { return false }
        let looks = looks.load(ordering: .relaxed)
        if looks != watch.looks {
            watch.looks = looks
            watch.since = now
        }
        return now - watch.since >= Monitor.doze && backend.hasEvents
    }
}

/// What the monitor saw of the poller.
struct PollWatch {
    var looks: UInt32 = 0
    var since: Int64 = 0
}
