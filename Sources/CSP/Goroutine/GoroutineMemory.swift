import CCSP

/// Where control blocks come from: pieces of memory that are never given back.
@safe
struct GoroutineMemory: ~Copyable {
    // SAFETY: (whole type) what is left of a huge page is ours alone.
    /// Once there are so many that a huge page's memory does not matter beside their stacks, they are cut from huge pages: fewer faults to make them, and
    /// fewer misses when a million of them are used (HACKING.md has the figures).
    private static let smallPieces = 64
    private var pieces = 0
    private var next: UnsafeMutableRawPointer?
    private var left = 0

    /// Zeroed memory, aligned to cache lines if `size` is a multiple of them; nil if there is none.
    mutating func take(_ size: Int) -> UnsafeMutableRawPointer? {
        pieces += 1
        if pieces <= Self.smallPieces { return unsafe csp_immortal_memory(size) }
        if left < size {
            guard let page = unsafe csp_immortal_huge_page() else { return unsafe csp_immortal_memory(size) }
            unsafe next = unsafe page
            left = Int(CSP_HUGE_PAGE)
        }
        defer {
            unsafe next = unsafe next! + size
            left -= size
        }
        return unsafe next
    }
}
