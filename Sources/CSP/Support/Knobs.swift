import CCSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Settings by environment, read once at the first use of the scheduler.
enum Knobs {
    // SAFETY: (whole type) getenv returns a C string or null.
    /// CSP_MAXPROCS: the initial `Scheduler.maxProcs`.
    static var maxProcs: Int? { number("CSP_MAXPROCS") }
    /// CSP_STACKSIZE: bytes of a goroutine's stack unless `go` is told otherwise.
    static var stackClass: Int {
        let size = number("CSP_STACKSIZE") ?? StackArena.usualSize
        guard let kind = StackArena.kind(for: size) else {
            fatal("fatal error: CSP_STACKSIZE=\(size): out of range (1 byte to 1 GiB)")
        }
        return kind
    }
    /// CSP_MAXTHREADS: the initial `Scheduler.maxThreads`.
    static var maxThreads: Int? { number("CSP_MAXTHREADS") }
    /// CSP_SCHEDTRACE: milliseconds between lines about the scheduler on stderr.
    static var schedulerTrace: Int? { number("CSP_SCHEDTRACE") }
    /// CSP_TRACE: the file into which a trace of the whole run is written.
    static var trace: String? { text("CSP_TRACE") }
    /// CSP_STACK_GUARD=mprotect: do as if the kernel had no MADV_GUARD_INSTALL.
    static var guardInstall: Bool { text("CSP_STACK_GUARD") != "mprotect" }
    /// Log2 of the address space reserved for each stack size: 1 TiB.
    static var largestRegionShift: Int { csp_has_fibers ? 32 : 40 }

    private static func text(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    private static func number(_ name: String) -> Int? {
        guard let text = text(name) else { return nil }
        guard let value = Int(text), value >= 1 else {
            fatal("fatal error: \(name)=\(text): expected a whole number from 1")
        }
        return value
    }
}
