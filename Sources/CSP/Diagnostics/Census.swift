import CCSP

/// All goroutines as they were seen, in bounded memory: when there are many, those with the same state, stack and creator are one group.
struct Census {
    // SAFETY: (whole type) control blocks are immortal; traces are copied out of the observer's memory.
    struct Group {
        var first: Sighting
        /// Of a group of one.
        var name: String?
        var trace: [UInt]
        var omitted: Int
        var count = 1
        /// The first few.
        var ids: [UInt64]
        var longestSince: Int64
        var shortestSince: Int64
    }

    /// Up to so many goroutines are shown one by one.
    static let mostSingles = 256
    static let mostGroups = 2_000
    static let mostIDs = 16

    private(set) var groups: [Group] = []
    /// Those beyond `mostGroups`.
    private(set) var uncounted = 0
    private var places: [Int: Int] = [:]

    /// Walks all goroutines that are wanted; that of `own` comes first, the others by their ids.
    /// - Parameter isGrouped: However many there are; nil: when there are many.
    init(own: OwnTrace?, isGrouped: Bool? = nil, _ isWanted: (GoroutineRef) -> Bool) {
        let core = unsafe SchedulerCore.shared
        let isGrouped = isGrouped ?? (core.goroutineCount > Self.mostSingles)
        var observer = Observer(own: own)
        core.cell.registry.forEach { goroutine in
            guard isWanted(goroutine), let sighting = observer.look(at: goroutine) else { return }
            unsafe count(sighting, goroutine, observer.trace, isGrouped)
        }
        let ownID = own?.goroutine.cell.id
        groups.sort { a, b in
            if (a.first.id == ownID) != (b.first.id == ownID) { return a.first.id == ownID }
            return a.first.id < b.first.id
        }
    }

    private mutating func count(
        _ sighting: Sighting, _ goroutine: GoroutineRef, _ trace: UnsafeMutablePointer<csp_trace>, _ isGrouped: Bool
    ) {
        let frames = unsafe UnsafeBufferPointer(start: csp_trace_frames(trace), count: Int(trace.pointee.count))
        var hasher = Hasher()
        hasher.combine(sighting.state)
        hasher.combine(sighting.reason)
        hasher.combine(sighting.creatorAddress)
        hasher.combine(unsafe trace.pointee.omitted)
        for index in 0..<frames.count { hasher.combine(unsafe frames[index]) }
        if !isGrouped { hasher.combine(sighting.id) }
        let key = hasher.finalize()
        if let place = places[key] {
            groups[place].add(sighting)
        } else if groups.count < Self.mostGroups {
            places[key] = groups.count
            groups.append(
                unsafe Group(
                    first: sighting, name: goroutine.name(ifStill: sighting.id), trace: Array(frames),
                    omitted: Int(trace.pointee.omitted), ids: [sighting.id], longestSince: sighting.waitingSince,
                    shortestSince: sighting.waitingSince))
        } else {
            uncounted += 1
        }
    }
}

extension Census.Group {
    fileprivate mutating func add(_ sighting: Sighting) {
        count += 1
        name = nil
        if ids.count < Census.mostIDs { ids.append(sighting.id) }
        longestSince = min(longestSince, sighting.waitingSince)
        shortestSince = max(shortestSince, sighting.waitingSince)
    }
}

extension GoroutineRef {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    /// The name of a goroutine that others run; nil when it has none, or is another one by now.
    func name(ifStill id: UInt64) -> String? {
        nameLock.lock()
        defer { nameLock.unlock() }
        return unsafe csp_peek_64(&pointer.pointee.id) == id ? cell.name : nil
    }
}
