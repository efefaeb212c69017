import CSP
import Foundation

/// `/debug/state`.
package enum StateReport {
    /// How many groups and creators are sent at most: the page stays small however many goroutines there are.
    package static let most = 50

    static func response(_ request: DebugRequest) async throws -> DebugResponse {
        let groups = try request.integer("groups", standard: most, in: 0...most)
        let creators = try request.integer("creators", standard: 20, in: 0...most)
        return try .json(await OwnThread.run { state(groups: groups, creators: creators) })
    }

    /// Blocks the calling thread while it looks at the goroutines, if it is to.
    static func state(groups: Int, creators: Int) -> DebugState {
        var state = DebugState(Scheduler.metrics)
        guard groups > 0 || creators > 0 else { return state }
        let start = ContinuousClock.now
        let result = GoroutineInspector.groups(), all = result.groups
        for index in state.processors.indices {
            state.processors[index].doing = state.processors[index].goroutine.flatMap { doing($0, all) }
        }
        state.census = census(all, uncounted: result.uncounted, groups: groups, creators: creators)
        state.census!.seconds = (ContinuousClock.now - start).inSeconds
        return state
    }

    /// The largest first; among equals the one that has waited longest.
    package static func census(
        _ all: [GoroutineGroup], uncounted: Int, groups most: Int, creators mostCreators: Int
    ) -> DebugState.Census {
        let sorted = all.sorted { ($0.count, $0.longestWait) > ($1.count, $1.longestWait) }
        let shown = sorted.prefix(most)
        // Several calls on a line are one creator.
        var counts: [DebugState.Frame?: Int] = [:]
        for group in all { counts[group.creator.map(DebugState.Frame.init), default: 0] += group.count }
        let creators = counts.sorted { ($0.value, $1.key?.function ?? "") > ($1.value, $0.key?.function ?? "") }
        return DebugState.Census(
            groups: shown.map(DebugState.Group.init), groupsNotShown: all.count - shown.count,
            goroutinesNotShown: all.dropCount(shown) + uncounted,
            creators: creators.prefix(mostCreators).map {
                DebugState.Creator(frame: $0.key, count: $0.value)
            },
            creatorsNotShown: max(0, creators.count - mostCreators), seconds: 0)
    }

    private static func doing(_ id: UInt64, _ groups: [GoroutineGroup]) -> String? {
        guard let group = groups.first(where: { $0.ids.contains(id) }) else { return nil }
        return group.name ?? group.stack.map(DebugState.Frame.init).first { !$0.isRuntime }?.function
            ?? group.stack.first?.function
    }
}

extension [GoroutineGroup] {
    /// How many goroutines are here and not in `shown`.
    fileprivate func dropCount(_ shown: ArraySlice<GoroutineGroup>) -> Int {
        reduce(0) { $0 + $1.count } - shown.reduce(0) { $0 + $1.count }
    }
}

extension DebugState {
    init(_ metrics: SchedulerMetrics) {
        self.init(
            time: Date().timeIntervalSince1970,
            program: URL(fileURLWithPath: CommandLine.arguments.first ?? "").lastPathComponent,
            processID: ProcessInfo.processInfo.processIdentifier,
            goroutines: Goroutines(
                count: metrics.goroutines, started: metrics.goroutinesStarted, running: metrics.running,
                runnable: metrics.runnable, waiting: metrics.waiting),
            processors: metrics.processors.map {
                Processor(
                    index: $0.index, isIdle: $0.isIdle, goroutine: $0.goroutine, queued: $0.queued, timers: $0.timers,
                    switches: $0.switches)
            },
            globalQueue: metrics.globalQueue, threads: metrics.threads, idleThreads: metrics.idleThreads,
            scheduling: Scheduling(
                steals: metrics.steals, stolen: metrics.stolenGoroutines, wakeups: metrics.wakeups,
                handOffs: metrics.handOffs),
            timers: metrics.timers,
            descriptors: Descriptors(polled: metrics.polledDescriptors, awaited: metrics.waitingForDescriptors),
            stacks: Stacks(inUse: metrics.stacks, free: metrics.freeStacks, bytes: metrics.stackBytes),
            contentions: metrics.contentions, contentionTime: metrics.contentionTime.inSeconds,
            latency: Histogram(
                bounds: metrics.latency.bounds.map(\.inSeconds), counts: metrics.latency.counts,
                sum: metrics.latency.sum.inSeconds))
    }
}

extension DebugState.Group {
    init(_ group: GoroutineGroup) {
        self.init(
            count: group.count, ids: group.ids, name: group.name, state: group.state,
            longestWait: group.longestWait.inSeconds, shortestWait: group.shortestWait.inSeconds,
            stack: group.stack.map(DebugState.Frame.init), creator: group.creator.map(DebugState.Frame.init),
            creatorID: group.creatorID)
    }
}

extension DebugState.Frame {
    init(_ frame: StackFrame) {
        self.init(
            function: frame.function, file: frame.file, line: frame.line,
            isRuntime: frame.isRuntime || frame.function.hasPrefix("CSPNet."))
    }
}

extension DebugResponse {
    static func json(_ value: some Encodable) throws -> DebugResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return DebugResponse(contentType: "application/json", body: Array(try encoder.encode(value)))
    }
}
