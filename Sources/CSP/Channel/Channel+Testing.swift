extension Channel where Element: ~Copyable {
    /// How many wait to receive, selects included.
    package var waitingReceivers: Int { count(in: .receive) }

    /// How many wait to send, selects included.
    package var waitingSenders: Int { count(in: .send) }

    private func count(in direction: Direction) -> Int {
        core.lock()
        defer {
            core.unlock()
            withExtendedLifetime(self) {}
        }
        var count = 0
        // SAFETY: under the lock.
        var each = unsafe direction == .receive ? core.core.receivers.first : core.core.senders.first
        while let waiter = unsafe each {
            count += 1
            unsafe each = unsafe waiter.pointee.next
        }
        return count
    }
}

extension Channel where Element: ~Copyable {
    /// Who waits to receive and to send: a number for each, the same on all channels for the cases of one select. Those whose select is over are
    /// left out.
    package var waits: (receiving: Set<UInt>, sending: Set<UInt>) {
        core.lock()
        defer {
            core.unlock()
            withExtendedLifetime(self) {}
        }
        // SAFETY: under the lock.
        return unsafe (numbers(from: core.core.receivers.first), numbers(from: core.core.senders.first))
    }

    private func numbers(from first: UnsafeMutablePointer<Waiter>?) -> Set<UInt> {
        var all: Set<UInt> = []
        // SAFETY: under the lock; a select cannot go on before it is off the list.
        var each = unsafe first
        while let waiter = unsafe each {
            if let selection = unsafe waiter.pointee.selection {
                if unsafe selection.pointee.winner.load(ordering: .relaxed) == Selection.undecided {
                    all.insert(UInt(bitPattern: selection))
                }
            } else {
                all.insert(UInt(bitPattern: waiter))
            }
            unsafe each = unsafe waiter.pointee.next
        }
        return all
    }
}
