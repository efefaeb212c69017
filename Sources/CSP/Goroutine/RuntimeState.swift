import CCSP

/// Where, on one thread, the runtimes of Swift and C++ keep what belongs to a goroutine: the exclusivity access set, the
/// fallback task-locals, the current task and executor, and C++'s exceptions being handled.
struct ThreadStateWords {
    private typealias Word = UnsafeMutablePointer<UInt64>
    private var words: (Word, Word, Word, Word, Word, Word)

    init() {
        let spare = unsafe Word.allocate(capacity: 1)
        unsafe spare.initialize(to: 0)
        unsafe words = unsafe (spare, spare, spare, spare, spare, spare)
    }

    // SAFETY: (whole type) located on the thread that uses them; the blocks live as long as the thread.
    mutating func locate() {
        let spare = unsafe words.0
        unsafe withUnsafeMutablePointer(to: &words) {
            unsafe $0.withMemoryRebound(to: UnsafeMutablePointer<UInt64>?.self, capacity: 6) {
                if unsafe !csp_find_thread_state($0, spare) {
                    fatal("fatal error: this Swift runtime keeps its thread state where swift-csp cannot find it")
                }
            }
        }
    }

    @inline(__always)
    var anySet: Bool {
        unsafe words.0.pointee | words.1.pointee | words.2.pointee | words.3.pointee | words.4.pointee
            | words.5.pointee != 0
    }

    @inline(__always)
    func take() -> (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) {
        let state = unsafe (
            words.0.pointee, words.1.pointee, words.2.pointee, words.3.pointee, words.4.pointee, words.5.pointee
        )
        put((0, 0, 0, 0, 0, 0))
        return state
    }

    @inline(__always)
    func put(_ state: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)) {
        unsafe words.0.pointee = state.0
        unsafe words.1.pointee = state.1
        unsafe words.2.pointee = state.2
        unsafe words.3.pointee = state.3
        unsafe words.4.pointee = state.4
        unsafe words.5.pointee = state.5
    }
}

extension GoroutineRef {
    /// Most goroutines park with nothing set, and pay one test each way.
    @inline(never)
    func saveState(from words: ThreadStateWords) {
        cell.savedState = words.take()
        cell.hasSavedState = true
    }

    @inline(never)
    func restoreState(into words: ThreadStateWords) {
        words.put(cell.savedState)
        cell.hasSavedState = false
    }
}
