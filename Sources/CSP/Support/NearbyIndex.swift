import CCSP

/// Spreads callers over copies of something, so that those on different processors seldom meet. Which one somebody gets is a matter of speed only:
/// it may be another one the next moment.
enum NearbyIndex {
    /// How many copies there are: as many as CPUs, up to 64, rounded up to a power of two.
    static let count: Int = {
        let cpus = min(64, Int(csp_affinity_cpus()))
        var count = 1
        while count < cpus { count *= 2 }
        return count
    }()

    /// The calling goroutine's processor's, or one for the calling thread, below `count`.
    static var current: Int {
        @inline(__always) get {
            if let goroutine = GoroutineRef.current {
                return (goroutine.cell.worker!.cell.processor?.cell.index ?? 0) & (count &- 1)
            }
            // SAFETY: used as a number.
            return unsafe Int(bitPattern: csp_current_thread_record()) >> 7 & (count &- 1)
        }
    }
}
