extension Dump {
    /// Looks at all goroutines as a dump does, without naming what it sees. Returns how many there were, and how many stacks could be seen.
    package static func look() -> (goroutines: Int, traces: Int) {
        let core = unsafe SchedulerCore.shared
        core.cell.dumpLock.lock()
        defer { core.cell.dumpLock.unlock() }
        // SAFETY: the scheduler is immortal.
        let census = Census(own: nil) { _ in true }
        var counts = (goroutines: census.uncounted, traces: census.uncounted)
        for group in census.groups {
            counts.goroutines += group.count
            if group.first.hasTrace { counts.traces += group.count }
        }
        return counts
    }
}
