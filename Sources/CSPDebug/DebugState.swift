/// What `/debug/state` sends, and the page and `csp-top` read. Times are in seconds.
package struct DebugState: Codable, Sendable {
    /// Since 1970.
    package var time: Double
    package var program: String
    package var processID: Int32
    package var goroutines: Goroutines
    package var processors: [Processor]
    package var globalQueue: Int
    package var threads: Int
    package var idleThreads: Int
    package var scheduling: Scheduling
    package var timers: Int
    package var descriptors: Descriptors
    package var stacks: Stacks
    package var contentions: UInt64
    package var contentionTime: Double
    package var latency: Histogram
    /// Nil when they were not asked for.
    package var census: Census?

    package struct Goroutines: Codable, Sendable {
        package var count: Int
        package var started: UInt64
        package var running: Int
        package var runnable: Int
        package var waiting: [String: Int]
    }

    package struct Processor: Codable, Sendable {
        package var index: Int
        package var isIdle: Bool
        package var goroutine: UInt64?
        /// Of the goroutine, where it is known: its name, or the function that it is in.
        package var doing: String?
        package var queued: Int
        package var timers: Int
        package var switches: UInt64
    }

    package struct Scheduling: Codable, Sendable {
        package var steals: UInt64
        package var stolen: UInt64
        package var wakeups: UInt64
        package var handOffs: UInt64
    }

    package struct Descriptors: Codable, Sendable {
        package var polled: Int
        package var awaited: Int
    }

    package struct Stacks: Codable, Sendable {
        package var inUse: Int
        package var free: Int
        /// Memory that they take; 0 where the kernel does not tell.
        package var bytes: Int
    }

    package struct Histogram: Codable, Sendable {
        package var bounds: [Double]
        /// One more than bounds, for what is above all.
        package var counts: [UInt64]
        package var sum: Double
    }

    /// The largest groups of goroutines alike.
    package struct Census: Codable, Sendable {
        package var groups: [Group]
        package var groupsNotShown: Int
        package var goroutinesNotShown: Int
        package var creators: [Creator]
        package var creatorsNotShown: Int
        /// How long it took to make.
        package var seconds: Double
    }

    package struct Group: Codable, Sendable {
        package var count: Int
        /// The first few.
        package var ids: [UInt64]
        package var name: String?
        package var state: String
        package var longestWait: Double
        package var shortestWait: Double
        package var stack: [Frame]
        package var creator: Frame?
        package var creatorID: UInt64
    }

    package struct Frame: Codable, Sendable, Hashable {
        package var function: String
        package var file: String
        package var line: Int
        package var isRuntime: Bool

        package init(function: String, file: String, line: Int, isRuntime: Bool) {
            self.function = function
            self.file = file
            self.line = line
            self.isRuntime = isRuntime
        }
    }

    package struct Creator: Codable, Sendable {
        package var frame: Frame?
        package var count: Int
    }
}
