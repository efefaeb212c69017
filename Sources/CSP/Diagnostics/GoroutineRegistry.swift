import Synchronization

/// All the control blocks there are, so that a dump finds every goroutine. It only grows; readers take no lock.
@safe
struct GoroutineRegistry: ~Copyable {
    // SAFETY: (whole type) chunks and control blocks are immortal; a chunk is complete before it is linked.
    @safe
    private struct Chunk: ~Copyable {
        let blocks: UnsafeMutableRawPointer
        let count: Int
        let stride: Int
        let next = unsafe Atomic<UnsafeMutablePointer<Chunk>?>(nil)
    }
    private let first = unsafe Atomic<UnsafeMutablePointer<Chunk>?>(nil)
    // Guarded by freeLock.
    private var last: UnsafeMutablePointer<Chunk>?

    /// Guarded by freeLock: `count` initialised control blocks.
    mutating func add(_ blocks: UnsafeMutableRawPointer, count: Int, stride: Int) {
        let chunk = UnsafeMutablePointer<Chunk>.allocate(capacity: 1)
        unsafe chunk.initialize(to: Chunk(blocks: blocks, count: count, stride: stride))
        if let last = unsafe last {
            unsafe last.pointee.next.store(chunk, ordering: .releasing)
        } else {
            unsafe first.store(chunk, ordering: .releasing)
        }
        unsafe last = unsafe chunk
    }

    /// The oldest first. Goroutines come and go meanwhile.
    func forEach(_ body: (GoroutineRef) -> Void) {
        unsafe forEachChunk { blocks, count, stride in
            for index in 0..<count { body(unsafe GoroutineRef(blocks + index * stride)!) }
        }
    }

    /// The first control block, how many there are, and how far apart.
    func forEachChunk(_ body: (UnsafeMutableRawPointer, Int, Int) -> Void) {
        var next = unsafe first.load(ordering: .acquiring)
        while let chunk = unsafe next {
            unsafe body(chunk.pointee.blocks, chunk.pointee.count, chunk.pointee.stride)
            unsafe next = unsafe chunk.pointee.next.load(ordering: .acquiring)
        }
    }

    var chunkCount: Int {
        var chunks = 0
        unsafe forEachChunk { _, _, _ in chunks += 1 }
        return chunks
    }
}
