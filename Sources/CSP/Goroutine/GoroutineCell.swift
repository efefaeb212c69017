import CCSP
import Synchronization

/// A goroutine's control block. Type-stable: recycled, never freed.
@usableFromInline
@safe
struct GoroutineCell: ~Copyable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    // Must be first: the switch addresses it by the cell. Valid while the goroutine is not running.
    var context = unsafe csp_context()

    /// Who owns what, by status.
    enum Status: UInt8 {
        /// On the free list; nobody uses it.
        case free
        /// On exactly one run queue or in the mailbox, or in the hands of the worker that took it from there.
        case runnable
        /// A worker runs its stack; `worker` is that one.
        case running
        /// On no run queue, in at least one wait list or timer heap; nobody may run its stack.
        case waiting
    }

    /// What must be done before it can be entered. A byte of its own, and zero without a stack: dumps look at it.
    enum Footing: UInt8 {
        /// Has no stack yet.
        case none
        /// Has a stack: any worker may enter it.
        case own
        /// The same, but only `lockedTo` may enter it.
        case locked
        /// The same, but only a worker's loop may enter it: a bubble's.
        case member
    }

    // Written by whoever owns the goroutine in its present status.
    var status = Status.free
    var waitReason = WaitReason.none
    var hasSavedState = false
    var footing = Footing.none
    var stackClass: UInt8 = 0
    // Here, where it costs nobody a cache miss.
    /// Whether `family` is not nil.
    var isInFamily = false
    /// Whether `name`, `currentContext` or `dormantTask` may be something else than nil.
    var hasLuggage = false
    var stackSlot: Int32 = 0
    // For dumps: see Diagnostics/Sighting.swift.
    /// Counts how often it has come onto its stack.
    var arrivals: UInt32 = 0
    var worker: WorkerRef?
    /// Coarsely, since when it waits.
    var waitingSince: Int64 = 0
    /// For its plain operations: on its stack it would cost whoever wakes it a cache miss.
    var waiter: Waiter
    var id: UInt64 = 0
    /// Until it runs.
    var body: GoroutineBody?
    var creatorID: UInt64 = 0
    var creatorAddress: UnsafeMutableRawPointer?
    // Up to here is what every goroutine needs, in as few cache lines as may be.
    /// Written under `nameLock`, since dumps read it; its owner may read it without.
    var name: String?
    let nameLockWord = Atomic<UInt32>(0)
    /// The worker that alone may run it, and how often it has asked for that.
    var lockedTo: WorkerRef?
    var lockDepth = 0
    /// `Context.current`, if it was given one. Set by `GoroutineRef.currentContext`.
    var currentContext: Context?
    /// The task whose task-locals are its own, if it was given any.
    var dormantTask: DormantTask?
    /// For sanitizers.
    var fiber: OpaquePointer?
    var savedState: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
    // While somebody watches: see Diagnostics/Watch.swift. 0 when it is not known.
    /// When it left its stack to wait.
    var parkedAt: Int64 = 0
    /// Since when it could run, and who has seen to that.
    var readySince: Int64 = 0
    var readiedBy: UInt64 = 0
    /// What it belongs to, if anything: see Bubble/Family.swift.
    var family: Family?

    init(_ reference: GoroutineRef) { waiter = Waiter(party: .goroutine(reference)) }
}

/// What a goroutine runs. Not copyable, so that it goes from `go` to the goroutine without a retain; and not a plain closure,
/// which as an optional would be wrapped in another one.
@safe
struct GoroutineBody: ~Copyable {
    // SAFETY: (whole type) whoever takes the body from the control block releases the group.
    let run: () -> Void
    /// Told when it is done, and owned until then. Not a plain reference, whose count would change twice more, where all of a group's goroutines meet.
    let group: Unmanaged<WaitGroup>?

    init(run: @escaping () -> Void, group: WaitGroup?) {
        self.run = run
        unsafe self.group = group.map { unsafe Unmanaged.passRetained($0) }
    }
}

/// A goroutine's control block by reference.
@usableFromInline
@safe
struct GoroutineRef: Equatable, @unchecked Sendable {
    // SAFETY: (whole type) control blocks are immortal, and a Ref always points at an initialised one.
    let pointer: UnsafeMutablePointer<GoroutineCell>

    @inline(__always)
    @usableFromInline static func == (a: GoroutineRef, b: GoroutineRef) -> Bool { unsafe a.pointer == b.pointer }

    // SAFETY: control blocks are immortal and type-stable; who may touch which field, its status says.
    var cell: GoroutineCell {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
    }

    /// Its own.
    var waiter: UnsafeMutablePointer<Waiter> {
        @inline(__always) get { unsafe withUnsafeMutablePointer(to: &pointer.pointee.waiter) { unsafe $0 } }
    }

    /// Under the trait InternalChecks: the status must be `expected` now. Each step of a goroutine's life begins with this.
    @inline(__always)
    func check(_ expected: GoroutineCell.Status, before step: StaticString) {
        #if INTERNAL_CHECKS
            if cell.status != expected {
                fatal("fatal error: goroutine \(cell.id) is \(cell.status) and not \(expected) before \(step)")
            }
        #endif
    }

    var nameLock: LockWord {
        unsafe withUnsafePointer(to: pointer.pointee.nameLockWord) {
            unsafe LockWord(UnsafeMutablePointer(mutating: $0))
        }
    }

    var currentContext: Context? {
        get { cell.currentContext }
        nonmutating set {
            cell.hasLuggage = true
            cell.currentContext = newValue
        }
    }

    /// Few goroutines have one.
    @inline(never)
    func setName(_ name: consuming String?) {
        cell.hasLuggage = true
        nameLock.lock()
        swap(&cell.name, &name)
        nameLock.unlock()
        if TraceRecorder.isOn, let name = cell.name { TraceRecorder.shared.note(name, of: cell.id) }
    }
}
