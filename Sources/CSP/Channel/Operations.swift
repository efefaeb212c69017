// What a channel does with elements, under its lock.
//
// On the reference and not on the class: a select works on the references alone and so needs no retains.
extension ChannelRef {
    // SAFETY: (whole type) the buffer holds elements of the channel's type, and the slots are `Element?`s that outlive the operation.
    /// The buffer's place for an index below twice the capacity.
    @inlinable @inline(__always)
    func element<Element: ~Copyable>(_ index: Int, of: Element.Type) -> UnsafeMutablePointer<Element> {
        let place = index >= core.capacity ? index &- core.capacity : index
        // SAFETY: 0 <= place < capacity.
        return unsafe core.buffer!.assumingMemoryBound(to: Element.self) + place
    }

    /// With the lock held. True when the value has gone, and the lock with it.
    @inlinable @inline(__always)
    func sendLocked<Element: ~Copyable>(_ slot: UnsafeMutablePointer<Element?>) -> Bool {
        // SAFETY: a dequeued receiver stays parked until it is made ready; its slot is an initialised nil of our type.
        if core.isClosed {
            unlock()
            fatalSendOnClosed()
        }
        if let receiver = unsafe core.receivers.takeFirst() {
            unsafe receiver.pointee.slot!.assumingMemoryBound(to: Element?.self).pointee = slot.pointee.take()
            unsafe receiver.pointee.succeeded = true
            let party = unsafe receiver.pointee.party
            // Somebody waited, so the buffer is empty, and nobody sends.
            unlock(receivable: false, sendable: core.capacity > 0 || !core.receivers.isEmpty)
            party.ready()
            return true
        }
        let count = core.count, capacity = core.capacity
        guard count < capacity else { return false }
        unsafe element(core.head &+ count, of: Element.self).initialize(to: slot.pointee.take()!)
        core.count = count &+ 1
        unlock(receivable: true, sendable: count &+ 1 < capacity)
        return true
    }

    /// With the lock held. True when the slot holds a value, or the channel is closed and drained; the lock is then released.
    @inlinable @inline(__always)
    func receiveLocked<Element: ~Copyable>(_ slot: UnsafeMutablePointer<Element?>) -> Bool {
        // SAFETY: a dequeued sender stays parked until it is made ready; its slot is a some of our type.
        if core.count > 0 {
            let oldest = core.head
            unsafe slot.pointee = element(oldest, of: Element.self).move()
            core.head = oldest &+ 1 == core.capacity ? 0 : oldest &+ 1
            guard let sender = unsafe core.senders.takeFirst() else {
                core.count &-= 1
                unlock(receivable: core.count > 0 || core.isClosed, sendable: true)
                return true
            }
            // Full until now: the first sender's value takes the free place, at the end.
            unsafe element(core.head &+ core.count &- 1, of: Element.self).initialize(
                to: sender.pointee.slot!.assumingMemoryBound(to: Element?.self).pointee.take()!)
            unsafe finish(sender)
            return true
        }
        if let sender = unsafe core.senders.takeFirst() {
            unsafe slot.pointee = sender.pointee.slot!.assumingMemoryBound(to: Element?.self).pointee.take()
            unsafe finish(sender)
            return true
        }
        guard core.isClosed else { return false }
        unlock()
        return true
    }

    @inlinable @inline(__always)
    func finish(_ waiter: UnsafeMutablePointer<Waiter>) {
        // SAFETY: dequeued under the lock, so it stays parked until we call ready.
        unsafe waiter.pointee.succeeded = true
        let party = unsafe waiter.pointee.party
        unlock()
        party.ready()
    }

    // MARK: For select
    //
    // Not inlined, to keep the code of each select small. They release nothing (values are moved, and whoever is made ready
    // runs later), and say so, lest the compiler retain the channels around them.

    /// Sends what is in the slot if that needs no waiting. If `locked`, the caller holds the lock, which is released in either case.
    @inlinable @inline(never) @_effects(releasenone)
    func trySend<Element: ~Copyable>(_ slot: inout Element?, locked: Bool) -> Bool {
        // SAFETY: the slot outlives the operation.
        unsafe withUnsafeMutablePointer(to: &slot) { slot in
            if !locked { lock() }
            if unsafe sendLocked(slot) { return true }
            unlock()
            return false
        }
    }

    /// Receives into the slot if that needs no waiting. If `locked`, the caller holds the lock, which is released in either case.
    @inlinable @inline(never) @_effects(releasenone)
    func tryReceive<Element: ~Copyable>(_ slot: inout Element?, locked: Bool) -> Bool {
        // SAFETY: the slot outlives the operation.
        unsafe withUnsafeMutablePointer(to: &slot) { slot in
            if !locked { lock() }
            if unsafe receiveLocked(slot) { return true }
            unlock()
            return false
        }
    }
}
