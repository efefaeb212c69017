import CCSP

/// A processor with a worker that is no thread's: whoever calls stands for it. Goroutines go by number; they never run.
@safe
package final class TestedProcessor: @unchecked Sendable {
    // SAFETY: (whole type) control blocks are immortal; the queue is touched in sections and under claims only, as Section.swift says.
    private let processor: ProcessorRef
    private let worker: WorkerRef
    private let goroutines: TestedGoroutines

    /// - Parameter first: Where the queue's indices begin.
    package init(_ goroutines: TestedGoroutines, indicesFrom first: UInt32 = 0) {
        self.goroutines = goroutines
        let cell = UnsafeMutablePointer<ProcessorCell>.allocate(capacity: 1)
        unsafe cell.initialize(to: ProcessorCell(index: 0))
        unsafe processor = ProcessorRef(pointer: cell)
        let workerCell = UnsafeMutablePointer<WorkerCell>.allocate(capacity: 1)
        unsafe workerCell.initialize(to: WorkerCell(number: 0))
        unsafe worker = WorkerRef(pointer: workerCell)
        worker.cell.processor = processor
        worker.exit()
        processor.cell.queue.head.store(first, ordering: .relaxed)
        processor.cell.queue.tail.store(first, ordering: .relaxed)
    }

    package static var capacity: Int { Int(RunQueue.capacity) }

    /// Runs `body` in a section, which may then push and pop. By one caller at a time.
    package func inSection<T>(_ body: () -> T) -> T {
        _ = worker.enter()
        defer { worker.exit() }
        return body()
    }

    // In a section.
    package var count: Int { processor.cell.queue.count }
    package var isEmpty: Bool { processor.cell.queue.isEmpty }
    package func push(_ number: Int) -> Bool { processor.cell.queue.push(goroutines[number]) }
    package func pop() -> Int? { processor.cell.queue.pop().map { goroutines.number(of: $0) } }

    package func moveHalf(to global: TestedGlobalQueue, and last: Int) {
        unsafe processor.cell.queue.moveHalf(to: &global.pointer.pointee, and: goroutines[last])
    }

    /// In the own section, with an empty queue: takes from another what is there now but for the `youngest`, by a claim. Nil when there is nothing, or the
    /// other is in its section.
    package func steal(from other: TestedProcessor, allBut youngest: Int = 0) -> Int? {
        let limit = other.processor.cell.queue.tail.load(ordering: .acquiring) &- UInt32(youngest)
        guard other.worker.claim(owning: other.processor) else { return nil }
        defer { other.worker.endClaim() }
        return other.processor.cell.queue.steal(below: limit, into: processor.cell.queue).map {
            goroutines.number(of: $0)
        }
    }
}

/// A global queue that is not the scheduler's.
@safe
package final class TestedGlobalQueue: @unchecked Sendable {
    // SAFETY: (whole type) the queue has a lock of its own, and is used by its address; never freed.
    fileprivate let pointer: UnsafeMutablePointer<GlobalQueue>
    private let goroutines: TestedGoroutines

    package init(_ goroutines: TestedGoroutines) {
        self.goroutines = goroutines
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: GlobalQueue())
    }

    package var count: Int { unsafe pointer.pointee.count.load(ordering: .relaxed) }

    // The race detector takes a call of a mutating method for a change of the whole value, and the lock is taken inside.
    package func append(_ numbers: [Int]) {
        RaceDetector.ignoring { unsafe pointer.pointee.append(numbers.count) { goroutines[numbers[$0]] } }
    }

    package func take(_ limit: Int) -> [Int] {
        var taken: [Int] = []
        RaceDetector.ignoring { unsafe pointer.pointee.take(limit) { taken.append(goroutines.number(of: $0)) } }
        return taken
    }
}

/// Control blocks that nobody runs, by number.
@safe
package final class TestedGoroutines: @unchecked Sendable {
    // SAFETY: (whole type) the blocks are written once, and never freed.
    private let cells: UnsafeMutablePointer<GoroutineCell>

    package init(_ count: Int) {
        unsafe cells = .allocate(capacity: count)
        for number in 0..<count {
            let reference = unsafe GoroutineRef(pointer: cells + number)
            unsafe (cells + number).initialize(to: GoroutineCell(reference))
        }
    }

    fileprivate subscript(number: Int) -> GoroutineRef { unsafe GoroutineRef(pointer: cells + number) }
    fileprivate func number(of goroutine: GoroutineRef) -> Int { unsafe goroutine.pointer - cells }
}
