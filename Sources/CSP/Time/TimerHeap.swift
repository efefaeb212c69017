import CCSP
import Synchronization

/// One timer as a heap sees it. Lives in a goroutine's control block, on a selecting stack or in a `Time.Timer`; whoever owns the memory
/// removes it from its heap first.
@usableFromInline
@safe
struct TimerNode: ~Copyable {
    // SAFETY: (whole type) whoever arms a node keeps it in its place until it is off the heap.
    // Guarded by the lock of the heap it is in.
    /// Nanoseconds since boot.
    var deadline: Int64 = 0
    /// Place in the heap, or -1.
    var place = -1
    /// The processor whose heap it was last put into.
    let heap = Atomic<Int>(-1)
    /// What happens when it is due, with `object` and the time; returns the next deadline, or 0 when there is none. Runs under the heap's
    /// lock, so it must not block or run a user's code.
    let fire: Action
    let object: UnsafeMutableRawPointer
    /// A function of C's kind carries no context, so that arming allocates nothing.
    typealias Action = @convention(c) (UnsafeMutableRawPointer, Int64) -> Int64

    init(object: UnsafeMutableRawPointer, fire: Action) {
        unsafe self.fire = unsafe fire
        unsafe self.object = unsafe object
    }
}

/// A processor's timers: a heap with four children per node, under its own lock, since others stop, reset and run them.
///
/// Firing happens under the lock: once `remove` has returned false or true, the timer does not fire any more.
@safe
struct TimerHeap: ~Copyable {
    // SAFETY: (whole type) whoever arms a node keeps it in its place until it is off the heap.
    // Guarded by lock. First: see LockWord.init(at:offset:).
    private var entries = UnsafeMutablePointer<Entry>.allocate(capacity: 64)
    private var capacity = 64
    private var count = 0
    /// The first deadline, or .max: what others read without the lock.
    let earliest = Atomic<Int64>(.max)
    let lock = OwnedLock()

    /// The deadline is here too, so that to compare needs no look at a node, which is on some cold stack.
    @safe
    private struct Entry {
        let deadline: Int64
        let node: UnsafeMutablePointer<TimerNode>
    }

    /// The entries' memory, under the lock: for searches.
    var memory: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(UnsafeBufferPointer(start: entries, count: count))
    }

    /// How many timers are set.
    var countNow: Int {
        lock.lock()
        defer { lock.unlock() }
        return count
    }

    // SAFETY: (whole type) nodes in the heap are valid, by their owners' promise; places stay below count; all under the lock.
    mutating func insert(_ node: UnsafeMutablePointer<TimerNode>) {
        if count == capacity { grow() }
        count += 1
        rise(unsafe Entry(deadline: node.pointee.deadline, node: node), from: count - 1)
        publish()
    }

    mutating func remove(_ node: UnsafeMutablePointer<TimerNode>) -> Bool {
        let place = unsafe node.pointee.place
        guard place >= 0 else { return false }
        take(at: place)
        publish()
        return true
    }

    /// Fires what is due, earliest first; some hundreds at the most, so that others get the lock in between.
    mutating func run(at now: Int64) {
        for _ in 0..<Self.mostAtOnce {
            guard count > 0, unsafe entries[0].deadline <= now else { break }
            let node = unsafe entries[0].node
            take(at: 0)
            let next = unsafe node.pointee.fire(node.pointee.object, now)
            if next != 0 {
                unsafe node.pointee.deadline = next
                unsafe insert(node)
            }
        }
        publish()
    }

    private static var mostAtOnce: Int { 512 }

    /// Whoever goes to sleep must not miss a deadline that comes nearer; one that goes away he may find too late.
    private func publish() {
        let first = count > 0 ? unsafe entries[0].deadline : .max
        let last = earliest.load(ordering: .relaxed)
        if first < last {
            earliest.store(first, ordering: .sequentiallyConsistent)
        } else if first > last {
            earliest.store(first, ordering: .releasing)
        }
    }

    private mutating func take(at place: Int) {
        unsafe entries[place].node.pointee.place = -1
        count -= 1
        guard place < count else { return }
        let last = unsafe entries[count]
        if place > 0, unsafe last.deadline < entries[(place &- 1) >> 2].deadline {
            rise(last, from: place)
        } else {
            sink(last, from: place)
        }
    }

    private func put(_ entry: Entry, at place: Int) {
        unsafe (entries + place).initialize(to: entry)
        unsafe entry.node.pointee.place = place
    }

    private func rise(_ entry: Entry, from start: Int) {
        var place = start
        while place > 0 {
            let parent = (place &- 1) >> 2
            guard unsafe entry.deadline < entries[parent].deadline else { break }
            put(unsafe entries[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private func sink(_ entry: Entry, from start: Int) {
        var place = start
        while true {
            let first = place << 2 &+ 1
            guard first < count else { break }
            var least = first
            for child in first &+ 1..<max(first &+ 1, min(first &+ 4, count))
            where unsafe entries[child].deadline < entries[least].deadline {
                least = child
            }
            guard unsafe entries[least].deadline < entry.deadline else { break }
            put(unsafe entries[least], at: place)
            place = least
        }
        put(entry, at: place)
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: entries, count: count)
        unsafe entries.deallocate()
        unsafe entries = unsafe larger
        capacity *= 2
    }
}
