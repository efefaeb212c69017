#if DEBUG || INTERNAL_CHECKS
    public import CCSP
#else
    import CCSP
#endif

/// Comes before whatever a goroutine does that others may see: in a bubble with a guide, others may go first. Nothing in release builds, where
/// turns change only when somebody waits, yields or ends.
@inlinable @inline(__always)
func exploreBefore(_ operation: Operation, _ object: AnyObject) {
    #if DEBUG || INTERNAL_CHECKS
        if csp_is_exploring() { exploreBeforeSlow(operation, object) }
    #endif
}

/// The same for what is done with nothing in particular.
@inlinable @inline(__always)
func exploreBefore(_ operation: Operation) {
    #if DEBUG || INTERNAL_CHECKS
        if csp_is_exploring() { exploreBeforeSlow(operation, nil) }
    #endif
}

@usableFromInline @inline(never)
func exploreBeforeSlow(_ operation: Operation, _ object: AnyObject?) {
    guard let caller = GoroutineRef.current, let bubble = caller.bubble, bubble.isGuided else { return }
    bubble.mayPass(operation, object, caller)
}

/// What chance decides: in a bubble with a guide, the guide.
@inline(__always)
func randomBits() -> UInt64 {
    csp_is_exploring() ? randomBitsSlow() : csp_random()
}

@inline(never)
private func randomBitsSlow() -> UInt64 { Bubble.current?.randomBits() ?? csp_random() }
