/// A heap of timers that no processor has. By one caller at a time.
@safe
package final class TestedTimerHeap {
    // SAFETY: (whole type) nodes and firings stay in their places until we are gone, and nobody else has them.
    private var heap = TimerHeap()
    private let nodes: UnsafeMutablePointer<TimerNode>
    private let firings: UnsafeMutablePointer<Firing>
    private let count: Int
    private let log = FiringLog()

    /// What a node knows when it fires.
    @safe
    private struct Firing {
        let number: Int
        var period: Int64 = 0
        let log: Unmanaged<FiringLog>
    }

    private final class FiringLog { var numbers: [Int] = [] }

    /// - Parameter count: How many timers there are, none of them in the heap.
    package init(_ count: Int) {
        self.count = count
        unsafe nodes = .allocate(capacity: count)
        unsafe firings = .allocate(capacity: count)
        for number in 0..<count {
            unsafe (firings + number).initialize(to: Firing(number: number, log: .passUnretained(log)))
            let node = unsafe TimerNode(object: firings + number) { object, now in
                let firing = unsafe object.assumingMemoryBound(to: Firing.self)
                unsafe firing.pointee.log._withUnsafeGuaranteedRef { unsafe $0.numbers.append(firing.pointee.number) }
                return unsafe firing.pointee.period == 0 ? 0 : now + firing.pointee.period
            }
            unsafe (nodes + number).initialize(to: node)
        }
    }

    deinit {
        unsafe nodes.deinitialize(count: count)
        unsafe nodes.deallocate()
        unsafe firings.deallocate()
    }

    /// When the first is due, or .max.
    package var earliest: Int64 { heap.earliest.load(ordering: .relaxed) }

    /// - Parameter period: After how long it fires again, or 0.
    package func insert(_ number: Int, at deadline: Int64, period: Int64) {
        unsafe nodes[number].deadline = deadline
        unsafe firings[number].period = period
        unsafe heap.insert(nodes + number)
    }

    package func remove(_ number: Int) -> Bool { unsafe heap.remove(nodes + number) }

    /// Fires what is due. Returns which, in order.
    package func run(at now: Int64) -> [Int] {
        log.numbers = []
        heap.run(at: now)
        return log.numbers
    }
}
