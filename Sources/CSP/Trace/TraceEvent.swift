/// Something that has happened to a goroutine, or to those who run them. Told once it is over, with both its ends, so that whoever writes it down needs
/// to remember nothing.
struct TraceEvent {
    enum Kind: UInt8 {
        /// A goroutine was on a worker; `other` is who made it, as an address. `reason` is why it left: `none` if it has ended.
        case ran
        /// A goroutine was on a processor that was taken away meanwhile.
        case lost
        /// The rest of its run, on the processor that it was given then.
        case regained
        /// A goroutine still runs.
        case runs
        /// A goroutine waited, for `reason`.
        case waited
        /// A goroutine could run, and did not yet; `other` is the goroutine that saw to that, or 0.
        case wasRunnable
        /// A goroutine was made by `other`.
        case made
        /// A worker slept.
        case slept
        /// A worker was woken or started for a processor.
        case woke
        /// A processor took `other` goroutines from another one.
        case stole
        /// A processor was taken from a worker.
        case handedOff
        /// Timers of a processor's heap fired.
        case fired
        /// The poller told of `other` events.
        case polled
        /// What users mark. `other` is the name's number; for a task, `end` is its own number while it begins or ends.
        case region
        case taskBegan
        case taskEnded
        case logged
    }
    var kind: Kind
    var reason = WaitReason.none
    /// Its index; negative for none.
    var processor: Int16 = -1
    /// The worker's number; 0 for another thread.
    var worker: UInt32 = 0
    var start: Int64
    var end: Int64
    var goroutine: UInt64 = 0
    var other: UInt64 = 0

    var isOfTask: Bool { kind == .taskBegan || kind == .taskEnded }
}
