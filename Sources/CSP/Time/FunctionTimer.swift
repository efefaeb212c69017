import CCSP

/// A timer that starts a goroutine. While it is armed its heap owns a reference, so that it runs even if everybody has
/// forgotten it, as Go's AfterFunc does.
@safe
final class FunctionTimer: @unchecked Sendable {
    // SAFETY: (whole type) the heap keeps a reference while the node is armed, so what it points to is alive.
    private let body: () -> Void
    private let family = Family.current
    // SAFETY: memory of our own; nobody has the object when it goes, so the node is off its heap.
    private let node: UnsafeMutablePointer<TimerNode>

    init(_ deadline: Int64, _ body: sending @escaping () -> Void) {
        self.body = body
        unsafe node = .allocate(capacity: 1)
        unsafe node.initialize(
            to: TimerNode(object: Unmanaged.passUnretained(self).toOpaque()) { object, _ in
                // The heap's reference is the goroutine's from here on, and taken nowhere else: what the user's closure holds must not go under the heap's lock.
                let timer = unsafe Unmanaged<FunctionTimer>.fromOpaque(object)
                let body = {
                    if RaceDetector.isOn { unsafe csp_race_acquire(timer.toOpaque()) }
                    unsafe timer.takeRetainedValue().body()
                }
                if let family = unsafe timer._withUnsafeGuaranteedRef({ $0.family }) {
                    unsafe GoroutineRef.spawn(
                        nil, in: family, creatorAddress: nil, GoroutineBody(run: body, group: nil))
                } else {
                    go(body)
                }
                return 0
            })
        if RaceDetector.isOn { unsafe csp_race_release(Unmanaged.passUnretained(self).toOpaque()) }
        _ = unsafe Unmanaged.passRetained(self)
        unsafe TimerNode.arm(node, at: deadline)
    }

    deinit {
        unsafe node.deinitialize(count: 1)
        unsafe node.deallocate()
    }

    /// Stops it and starts it again if there is a `deadline`. True when it was running.
    func set(to deadline: Int64?) -> Bool {
        if RaceDetector.isOn { unsafe csp_race_release(Unmanaged.passUnretained(self).toOpaque()) }
        // The heap's reference, before the timer can fire and give it up.
        if deadline != nil { _ = unsafe Unmanaged.passRetained(self) }
        let wasArmed = unsafe TimerNode.withHeap(of: node) { processor in
            let wasArmed = unsafe processor!.cell.timers.remove(node)
            if let deadline { unsafe TimerNode.armLocked(node, at: deadline, on: processor!) }
            return wasArmed
        }
        if wasArmed { unsafe Unmanaged.passUnretained(self).release() }
        if let deadline { SchedulerCore.timerSubmitted(deadline) }
        return wasArmed
    }
}
