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
    /// What happens when it is due, with `object`; returns the next deadline, or 0 when there is none. Runs under the heap's lock,
    /// so it must not block or run a user's code.
    let fire: Action
    let object: UnsafeMutableRawPointer
    /// A function of C's kind carries no context, so that arming allocates nothing.
    typealias Action = @convention(c) (UnsafeMutableRawPointer) -> Int64

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
    /// The first deadline, or .max: what others read without the lock.
    let earliest = Atomic<Int64>(.max)
    let lock = OwnedLock()
    // Guarded by lock.
    private var nodes: [UnsafeMutablePointer<TimerNode>] = unsafe []

    // SAFETY: (whole type) nodes in the heap are valid, by their owners' promise; all under the lock.
    mutating func insert(_ node: UnsafeMutablePointer<TimerNode>) {
        unsafe node.pointee.place = nodes.count
        unsafe nodes.append(node)
        rise(unsafe node.pointee.place)
        publish()
    }

    mutating func remove(_ node: UnsafeMutablePointer<TimerNode>) -> Bool {
        let place = unsafe node.pointee.place
        guard place >= 0 else { return false }
        unsafe node.pointee.place = -1
        let last = unsafe nodes.removeLast()
        if unsafe last != node {
            unsafe put(last, at: place)
            sink(place)
            rise(unsafe last.pointee.place)
        }
        publish()
        return true
    }

    /// Fires everything that is due, earliest first.
    mutating func run(at now: Int64) {
        while let first = unsafe nodes.first, unsafe first.pointee.deadline <= now {
            _ = unsafe remove(first)
            let next = unsafe first.pointee.fire(first.pointee.object)
            if next != 0 {
                unsafe first.pointee.deadline = next
                unsafe insert(first)
            }
        }
    }

    private func publish() {
        earliest.store(unsafe nodes.first?.pointee.deadline ?? .max, ordering: .sequentiallyConsistent)
    }

    private mutating func put(_ node: UnsafeMutablePointer<TimerNode>, at place: Int) {
        unsafe nodes[place] = unsafe node
        unsafe node.pointee.place = place
    }

    private mutating func rise(_ start: Int) {
        var place = start
        let node = unsafe nodes[place]
        while place > 0 {
            let parent = (place - 1) / 4
            guard unsafe node.pointee.deadline < nodes[parent].pointee.deadline else { break }
            unsafe put(nodes[parent], at: place)
            place = parent
        }
        unsafe put(node, at: place)
    }

    private mutating func sink(_ start: Int) {
        var place = start
        let node = unsafe nodes[place]
        while true {
            let first = place * 4 + 1
            guard unsafe first < nodes.count else { break }
            var least = first
            for child in unsafe first..<min(first + 4, nodes.count)
            where unsafe nodes[child].pointee.deadline < nodes[least].pointee.deadline {
                least = child
            }
            guard unsafe nodes[least].pointee.deadline < node.pointee.deadline else { break }
            unsafe put(nodes[least], at: place)
            place = least
        }
        unsafe put(node, at: place)
    }
}
