extension Channel where Element: ~Copyable {
    /// How many wait to receive, selects included.
    package var waitingReceivers: Int {
        core.lock()
        defer {
            core.unlock()
            withExtendedLifetime(self) {}
        }
        var count = 0
        // SAFETY: under the lock.
        var each = unsafe core.core.receivers.first
        while let waiter = unsafe each {
            count += 1
            unsafe each = unsafe waiter.pointee.next
        }
        return count
    }
}
