import Synchronization

/// A LockWord with memory of its own, for the runtime's long-lived structures. Padded to a cache line.
struct OwnedLock: ~Copyable {
    private let word: LockWord

    init() {
        // SAFETY: never freed; zero is the free state.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: 128)
        unsafe word = LockWord(at: memory)
    }

    @inline(__always) func lock() { word.lock() }
    @inline(__always) func tryLock() -> Bool { word.tryLock() }
    @inline(__always) func unlock() { word.unlock() }
    /// For handing over to `park`.
    var handle: LockWord { word }
}
