#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension UnsafeMutablePointer where Pointee: ~Copyable {
    // SAFETY: (whole extension) memory for one, of the right size and alignment, not initialised.
    /// Memory for one that comes and goes often: Swift's `allocate` calls posix_memalign whatever the alignment, which takes 50 instructions more than
    /// malloc. Given back by `deallocateOne`.
    @usableFromInline
    static func allocateOne() -> Self {
        if MemoryLayout<Pointee>.alignment > 16 { return .allocate(capacity: 1) }
        guard let memory = unsafe malloc(MemoryLayout<Pointee>.stride) else { fatal("fatal error: out of memory") }
        return unsafe memory.bindMemory(to: Pointee.self, capacity: 1)
    }

    @usableFromInline
    func deallocateOne() {
        // SAFETY: as it was allocated.
        if MemoryLayout<Pointee>.alignment > 16 { unsafe deallocate() } else { unsafe free(self) }
    }
}
