public import Synchronization

/// What a channel is, without its element type.
///
/// While the lock is held:
/// - a receiver is parked ⇒ count == 0, and no sender is parked, but for cases of selects already won elsewhere
/// - a sender is parked ⇒ count == capacity, not closed
/// - closed ⇒ no sender is parked, and no receiver but those that `close` is about to wake
@usableFromInline
@safe
struct ChannelCore: ~Copyable {
    // SAFETY: (whole type) the buffer lives as long as the core.
    // Guarded by the lock. Must be first.
    @usableFromInline var version: UInt32 = 0
    /// The lock; while it is free, the channel's readiness and the version (see `Readiness`). Must be second.
    @usableFromInline let lockWord = Atomic<UInt32>(Readiness.sendableBit)

    // Guarded by the lock.
    @usableFromInline var isClosed = false
    /// Whether selects have ever waited here.
    var hasSelects = false
    /// Elements in the buffer, and the place of the oldest.
    @usableFromInline var count = 0
    @usableFromInline var head = 0
    @usableFromInline var receivers = WaitList()
    @usableFromInline var senders = WaitList()

    // Written once.
    @usableFromInline let capacity: Int
    /// Room for `capacity` elements.
    @usableFromInline var buffer: UnsafeMutableRawPointer?
    /// Whether the buffer is memory of its own, and not the channel's room.
    var ownsBuffer = false
    /// The timer that sends on this channel, which owns it. Written before anybody else has the channel.
    var timer: UnsafeMutablePointer<ChannelTimer>?
    /// What closes this channel, if it is a context's; the channel owns a reference. Written before anybody else has the channel.
    var cancellation: Unmanaged<Cancellation>?

    @usableFromInline
    init(capacity: Int) {
        self.capacity = capacity
        lockWord.store(capacity > 0 ? Readiness.sendableBit : 0, ordering: .relaxed)
    }
}

/// The lock word's meaning while the lock is free. Equal words at two times mean that nothing happened in between (up to 2^28 changes).
@usableFromInline
enum Readiness {
    @usableFromInline static var receivableBit: UInt32 { @inlinable @inline(__always) get { 2 } }
    @usableFromInline static var sendableBit: UInt32 { @inlinable @inline(__always) get { 4 } }
    @usableFromInline static var versionStep: UInt32 { @inlinable @inline(__always) get { 8 } }
}

/// A channel's core by reference. The channel object that owns it keeps it alive.
@usableFromInline
@safe
@frozen
struct ChannelRef: Equatable, @unchecked Sendable {
    // SAFETY: (whole type) the channel is alive while one of its operations runs or one of its waiters is parked.
    @usableFromInline let pointer: UnsafeMutablePointer<ChannelCore>

    @inlinable @inline(__always)
    init(_ pointer: UnsafeMutablePointer<ChannelCore>) { unsafe self.pointer = unsafe pointer }

    @inlinable @inline(__always)
    static func == (a: ChannelRef, b: ChannelRef) -> Bool { unsafe a.pointer == b.pointer }

    @usableFromInline
    var core: ChannelCore {
        @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inlinable @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    @usableFromInline
    var lockWord: LockWord { @inlinable @inline(__always) get { unsafe LockWord(at: pointer, offset: 4) } }

    @inlinable @inline(__always)
    func lock() { lockWord.lock() }

    /// Publishes what can be done now without waiting.
    @inlinable @inline(__always)
    func unlock() { unlock(receivable: isReceivable, sendable: isSendable) }

    /// The same for who knows.
    @inlinable @inline(__always)
    func unlock(receivable: Bool, sendable: Bool) {
        lockWord.unlock(publishing: nextWord(receivable: receivable, sendable: sendable))
    }

    /// What the lock word will be after this holder's work, which is done.
    @inlinable @inline(__always)
    func nextWord(receivable: Bool, sendable: Bool) -> UInt32 {
        #if INTERNAL_CHECKS
            checkInvariants()
            // Who knows better may deny what only waiters of selects that are over suggest.
            if receivable ? !isReceivable : core.count > 0 || core.isClosed {
                fatal("fatal error: channel: wrong readiness")
            }
            if sendable ? !isSendable : core.count < core.capacity || core.isClosed {
                fatal("fatal error: channel: wrong readiness")
            }
        #endif
        let version = core.version &+ Readiness.versionStep
        core.version = version
        return version | (receivable ? Readiness.receivableBit : 0) | (sendable ? Readiness.sendableBit : 0)
    }

    @usableFromInline var isReceivable: Bool {
        @inlinable @inline(__always) get { core.count > 0 || !core.senders.isEmpty || core.isClosed }
    }
    @usableFromInline var isSendable: Bool {
        @inlinable @inline(__always) get { core.count < core.capacity || !core.receivers.isEmpty || core.isClosed }
    }

    #if INTERNAL_CHECKS
        @usableFromInline @inline(never)
        func checkInvariants() {
            let receiving = !core.receivers.isEmpty, sending = !core.senders.isEmpty
            if !(0...core.capacity).contains(core.count) { fatal("fatal error: channel: count out of range") }
            if receiving, core.count > 0 { fatal("fatal error: channel: a receiver waits beside a full buffer") }
            if sending, core.count < core.capacity { fatal("fatal error: channel: a sender waits beside free room") }
            if core.isClosed, sending { fatal("fatal error: channel: somebody sends on a closed one") }
        }
    #endif

    /// Whether a receive (or a send) might not have to wait; a moment's truth. True while the lock is held.
    @inlinable @inline(__always)
    func mayReceive() -> Bool { lockWord.peek() & (Readiness.receivableBit | LockWord.held) != 0 }

    @inlinable @inline(__always)
    func maySend() -> Bool { lockWord.peek() & (Readiness.sendableBit | LockWord.held) != 0 }

    /// Blocks the caller with the lock held, which is released once others may see it waiting. True when the operation was done,
    /// false when the channel was closed.
    @usableFromInline @inline(never)
    func wait(in direction: Direction, slot: UnsafeMutableRawPointer) -> Bool {
        unsafe Waiter.withOwn { waiter in
            #if INTERNAL_CHECKS
                if core.isClosed { fatal("fatal error: channel: somebody begins to wait on a closed one") }
            #endif
            // SAFETY: the slot outlives the wait; the waiter is off the list then.
            unsafe waiter.pointee.slot = unsafe slot
            unsafe enqueue(waiter, direction)
            let party = unsafe waiter.pointee.party
            // Whoever has to wait leaves the channel ready for the other direction, and only for that.
            let word = nextWord(receivable: direction == .send, sendable: direction == .receive)
            party.block(direction == .send ? .channelSend : .channelReceive, .unlockChannel(self, publishing: word))
            return unsafe waiter.pointee.succeeded
        }
    }

    @inline(__always)
    func enqueue(_ waiter: UnsafeMutablePointer<Waiter>, _ direction: Direction) {
        if direction == .send { unsafe core.senders.append(waiter) } else { unsafe core.receivers.append(waiter) }
    }

    /// Marks closed and wakes everybody: receivers find nothing, senders die.
    @usableFromInline @inline(never)
    func close() {
        lock()
        if core.isClosed {
            unlock()
            fatal("panic: close of closed channel")
        }
        // A few at a time, which are in the cache still when they are made ready, and can run meanwhile. It makes no difference to those that wait yet: nothing
        // but the close can end their wait any more. Selects have other cases, which must not win from now on.
        let limit = core.hasSelects ? Int.max : 64
        while true {
            var woken = ReadyChain()
            let isLast = closeLocked(waking: &woken, atMost: limit)
            woken.ready()
            if isLast { return }
            lock()
        }
    }

    /// With the lock held, which is released. Whoever waited stays parked until `ready`. False if receivers beyond `limit` wait still.
    @discardableResult
    func closeLocked(waking woken: inout ReadyChain, atMost limit: Int = .max) -> Bool {
        core.isClosed = true
        var left = limit
        // SAFETY: (whole function) under the lock.
        while left > 0, let receiver = unsafe core.receivers.takeFirst() {
            unsafe receiver.pointee.succeeded = false
            unsafe woken.append(receiver)
            left -= 1
        }
        // Behind receivers, since a select may be both, and must receive nil then.
        while let sender = unsafe core.senders.takeFirst() {
            unsafe sender.pointee.succeeded = false
            unsafe woken.append(sender)
        }
        let isLast = core.receivers.isEmpty
        unlock()
        return isLast
    }
}

@usableFromInline
@frozen
enum Direction {
    case send, receive
}

@usableFromInline @inline(never)
func fatalSendOnClosed() -> Never { fatal("panic: send on closed channel") }
