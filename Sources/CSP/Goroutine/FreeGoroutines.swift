import CCSP

/// Control blocks that nobody uses, last in, first out.
@safe
struct FreeGoroutines: ~Copyable {
    // SAFETY: (whole type) count stays within 0...capacity; control blocks are immortal.
    private var references: UnsafeMutablePointer<GoroutineRef>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        unsafe references = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    /// All of it: for searches.
    var memory: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(UnsafeBufferPointer(start: references, count: capacity))
    }

    @inline(__always)
    mutating func pop() -> GoroutineRef? {
        guard count > 0 else { return nil }
        count -= 1
        // The next one will be wanted soon, and has perhaps been free for long.
        if count > 0 { unsafe csp_prefetch_block(references[count - 1].pointer) }
        return unsafe references[count]
    }

    @inline(__always)
    mutating func push(_ goroutine: GoroutineRef) {
        if count == capacity { grow() }
        unsafe (references + count).initialize(to: goroutine)
        count += 1
    }

    /// Moves up to `wanted` of the longest free, or of the newest, to `other`.
    mutating func move(oldest wanted: Int, to other: inout FreeGoroutines) {
        let moved = min(wanted, count)
        for index in 0..<moved { unsafe other.push(references[index]) }
        count -= moved
        unsafe references.update(from: references + moved, count: count)
    }

    mutating func move(newest wanted: Int, to other: inout FreeGoroutines) {
        for _ in 0..<min(wanted, count) {
            count -= 1
            unsafe other.push(references[count])
        }
    }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<GoroutineRef>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: references, count: count)
        unsafe references.deallocate()
        unsafe references = unsafe larger
        capacity *= 2
    }
}
