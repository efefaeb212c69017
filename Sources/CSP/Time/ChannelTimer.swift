import CCSP
import Synchronization

/// A timer that sends the time on a channel, which owns it: once nobody has the channel, the timer is off.
///
/// It stays with the heap that it was first put into, whose lock also makes stop and reset one step each.
@usableFromInline
@safe
struct ChannelTimer: ~Copyable {
    // SAFETY: (whole type) the channel owns its timer; its node is touched under the heap's lock only.
    private var node: TimerNode
    // Guarded by the heap's lock.
    /// Nanoseconds between ticks; 0 for a single shot.
    private var period: Int64
    /// Set at the end of the last firing, and by stop: the timer is in no heap and in nobody's hands.
    private let isIdle = Atomic<Bool>(false)
    // Written once.
    /// Not the channel: whoever has a count of that while the last user gives it up would end it, under the lock that its end waits for.
    private let channel: ChannelRef

    typealias Pointer = UnsafeMutablePointer<ChannelTimer>

    private init(object: Pointer, period: Int64, channel: ChannelRef) {
        unsafe node = TimerNode(object: object) { object, now in
            unsafe object.assumingMemoryBound(to: ChannelTimer.self).pointee.fire(at: now)
        }
        self.period = period
        self.channel = channel
    }

    /// A new channel with a timer that is running.
    static func channel(deadline: Int64, period: Int64) -> Channel<Time.Instant> {
        let channel = Channel<Time.Instant>(capacity: 1)
        // SAFETY: memory of our own, until `destroy`.
        let timer = unsafe Pointer.allocateOne()
        unsafe timer.initialize(to: ChannelTimer(object: timer, period: period, channel: channel.core))
        unsafe channel.core.core.timer = unsafe timer
        RaceDetector.sets(timerOf: channel.core)
        unsafe TimerNode.arm(&timer.pointee.node, at: deadline)
        return channel
    }

    /// By the channel's deinit.
    static func destroy(_ timer: Pointer) {
        // SAFETY: once disarmed it does not fire, and nobody else knows it.
        if unsafe !timer.pointee.isIdle.load(ordering: .acquiring) { _ = unsafe TimerNode.disarm(&timer.pointee.node) }
        unsafe timer.deinitialize(count: 1)
        unsafe timer.deallocateOne()
    }

    /// Under the heap's lock; a value that nobody has taken yet stands for this one too.
    private func fire(at now: Int64) -> Int64 {
        // SAFETY: the channel's deinit waits for this lock before it frees the channel.
        var value: Time.Instant? = Clock.instant(nanoseconds: now)
        if channel.maySend() { _ = channel.trySend(&value, locked: false) }
        guard period > 0 else {
            isIdle.store(true, ordering: .releasing)
            return 0
        }
        let late = max(0, now - node.deadline)
        return node.deadline + period * (1 + late / period)
    }

    /// Stops the timer, takes back a value that nobody has received, and starts it again if there is a `deadline`.
    /// True when it was running or had such a value.
    static func set(_ timer: Pointer, to deadline: Int64?, period: Int64 = 0) -> Bool {
        // SAFETY: the caller has the channel.
        let channel = unsafe timer.pointee.channel
        RaceDetector.sets(timerOf: channel)
        let wasActive = unsafe TimerNode.withHeap(of: &timer.pointee.node) { processor in
            var wasActive = unsafe processor!.cell.timers.remove(&timer.pointee.node)
            if channel.mayReceive(), Self.takeBack(from: channel) { wasActive = true }
            unsafe timer.pointee.period = period
            unsafe timer.pointee.isIdle.store(deadline == nil, ordering: .releasing)
            if let deadline { unsafe TimerNode.armLocked(&timer.pointee.node, at: deadline, on: processor!) }
            return wasActive
        }
        if let deadline { SchedulerCore.timerSubmitted(deadline) }
        return wasActive
    }

    /// By itself: an instant's size and layout are known at run time only, and to make room for one costs as much as all the rest.
    @inline(never)
    private static func takeBack(from channel: ChannelRef) -> Bool {
        var value: Time.Instant?
        return channel.tryReceive(&value, locked: false) && value != nil
    }
}
