import CCSP

// Swift's and C++'s runtimes keep in thread locals what belongs to the running code and not to its thread: the exclusivity
// access set, the fallback task-locals, the current task and its executor, and C++'s exceptions being handled. They travel with the
// goroutine. The layouts are private to those libraries, so they are probed and never assumed: change the state by
// public means, and see which words of the library's thread locals changed.

/// Which words of the libraries' thread locals travel.
struct ThreadStateLayout {
    // SAFETY: (whole type) the words are this thread's own, and were found by looking.
    /// In libswiftCore's block.
    var accessSet = 0
    /// In libswift_Concurrency's: fallback task-locals, current task, and what else changes with a task.
    var concurrency: [Int] = []
    /// The words among `concurrency` that hold the fallback task-locals and the current task.
    var fallback = 0
    var task: Int?

    static let shared = probe()
    private static let most = 3

    @TaskLocal private static var probed = 0

    /// On a fresh thread: a task's task-locals are in the task, and a thread's own would be taken for something that never changes.
    private static func probe() -> ThreadStateLayout {
        var layout = ThreadStateLayout()
        layout.accessSet = Int(csp_probe_access_set())
        let before = snapshot()
        let fallback = $probed.withValue(1) { changes(since: before) }
        let inTask = RunInPlace.run {
            (
                changes(since: before), unsafe withUnsafeCurrentTask { unsafe unsafeBitCast($0!, to: UInt64.self) },
                snapshot()
            )
        }
        layout.concurrency = Array(Set(fallback + inTask.0)).sorted()
        layout.task = inTask.0.first { inTask.2[$0] == inTask.1 }
        layout.fallback = fallback.first ?? 0
        guard layout.accessSet >= 0, fallback.count == 1, layout.task != nil, layout.concurrency.count <= most,
            changes(since: before).isEmpty
        else {
            fatal(
                "fatal error: this Swift runtime keeps its thread state where swift-csp cannot find it; please report its version"
            )
        }
        return layout
    }

    // SAFETY: the block is this thread's own; 512 words bound the look at a program that is linked statically.
    private static func snapshot() -> [UInt64] {
        var block: UnsafeMutablePointer<UInt64>?
        let words = unsafe csp_tls_block(csp_in_swift_concurrency(), &block)
        return unsafe Array(UnsafeBufferPointer(start: block, count: min(words, 512)))
    }

    private static func changes(since before: [UInt64]) -> [Int] {
        let now = snapshot()
        return now.indices.filter { now[$0] != before[$0] }
    }
}

/// The addresses of the travelling words on one thread.
@safe
struct ThreadStateWords {
    // SAFETY: (whole type) the words are this thread's own, and were found by looking.
    private typealias Word = UnsafeMutablePointer<UInt64>
    private var words: (Word, Word, Word, Word, Word, Word)

    /// `spare` stands for those that the thread has not got, or that are not located yet.
    init(spare: UnsafeMutablePointer<UInt64>) {
        unsafe words = unsafe (spare, spare, spare, spare, spare, spare)
    }

    // SAFETY: (whole type) located on the thread that uses them; the blocks live as long as the thread.
    mutating func locate() {
        let layout = ThreadStateLayout.shared
        var block: UnsafeMutablePointer<UInt64>?
        _ = unsafe csp_tls_block(csp_in_swift_core(), &block)
        unsafe words.0 = unsafe block! + layout.accessSet
        _ = unsafe csp_tls_block(csp_in_swift_concurrency(), &block)
        unsafe words.1 = unsafe block! + layout.concurrency[0]
        if layout.concurrency.count > 1 { unsafe words.2 = unsafe block! + layout.concurrency[1] }
        if layout.concurrency.count > 2 { unsafe words.3 = unsafe block! + layout.concurrency[2] }
        if let globals = unsafe csp_cxa_globals() {
            unsafe words.4 = unsafe globals
            unsafe words.5 = unsafe globals + 1
        }
    }

    @inline(__always)
    var anySet: Bool {
        unsafe words.0.pointee | words.1.pointee | words.2.pointee | words.3.pointee | words.4.pointee
            | words.5.pointee != 0
    }

    /// Whether the running code has task-locals or a task, as far as one look tells.
    @inline(__always)
    var anyTaskState: Bool { unsafe words.1.pointee | words.2.pointee | words.3.pointee != 0 }

    @inline(__always)
    func take() -> SavedState {
        let state = unsafe (
            words.0.pointee, words.1.pointee, words.2.pointee, words.3.pointee, words.4.pointee, words.5.pointee
        )
        put((0, 0, 0, 0, 0, 0))
        return state
    }

    @inline(__always)
    func put(_ state: SavedState) {
        unsafe words.0.pointee = state.0
        unsafe words.1.pointee = state.1
        unsafe words.2.pointee = state.2
        unsafe words.3.pointee = state.3
        unsafe words.4.pointee = state.4
        unsafe words.5.pointee = state.5
    }
}

/// What `ThreadStateWords` takes and puts, in its order.
typealias SavedState = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

extension ThreadStateLayout {
    /// The state of code that runs inside the task at `address`, with nothing else set.
    func state(inTask address: UInt64) -> SavedState {
        let place = concurrency.firstIndex(of: task!)
        return (0, place == 0 ? address : 0, place == 1 ? address : 0, place == 2 ? address : 0, 0, 0)
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
