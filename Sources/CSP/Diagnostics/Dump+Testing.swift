extension Dump {
    /// Looks at all goroutines as a dump does, without naming what it sees. Returns how many there were, and how many stacks could be seen.
    package static func look() -> (goroutines: Int, traces: Int) {
        withCensus { census in
            var counts = (goroutines: census.uncounted, traces: census.uncounted)
            for group in census.groups {
                counts.goroutines += group.count
                if group.first.hasTrace { counts.traces += group.count }
            }
            return counts
        }
    }

    /// Whether a goroutine of that name waits for that reason, in a dump's words. Of the caller's family only, if it is in one: other tests use the same
    /// names at the same time.
    package static func isParked(_ name: String, for reason: String) -> Bool {
        let family = Family.current
        return withCensus({ $0.isNamed(name) && (family.map($0.belongs(to:)) ?? true) }) { census in
            census.groups.contains { $0.first.state == .waiting && $0.first.reason.description == reason }
        }
    }

    // SAFETY: the scheduler is immortal.
    private static func withCensus<T>(
        _ isWanted: (GoroutineRef) -> Bool = { _ in true }, _ body: (borrowing Census) -> T
    ) -> T {
        let core = unsafe SchedulerCore.shared
        return RaceDetector.ignoring {
            core.cell.dumpLock.lock()
            defer { core.cell.dumpLock.unlock() }
            return body(Census(own: nil, isWanted))
        }
    }
}

extension GoroutineRef {
    fileprivate func isNamed(_ name: String) -> Bool {
        nameLock.lock()
        defer { nameLock.unlock() }
        return cell.name == name
    }
}
