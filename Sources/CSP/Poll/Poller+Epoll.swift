import CCSP

/// Linux: epoll, edge-triggered, so that a descriptor is registered once and not for each wait; and an eventfd that breaks the wait.
///
/// The eventfd is level-triggered, and only who waits empties it: a look by somebody else in the same moment does not take it from him.
struct EpollBackend: PollBackend {
    // SAFETY: (whole type) plain system calls, on memory of the caller's.
    private let epoll: Int32
    private let interrupter: Int32

    static func open() -> Result<EpollBackend, SystemError> {
        var interrupter: Int32 = -1
        let epoll = unsafe csp_epoll_open(&interrupter)
        if epoll < 0 { return .failure(SystemError(code: -epoll)) }
        return .success(EpollBackend(epoll: epoll, interrupter: interrupter))
    }

    func watch(_ descriptor: Int32, _ token: UInt64, _ interest: PollDirections, isNew: Bool) -> Int32 {
        csp_epoll_watch(epoll, descriptor, token, interest.rawValue, isNew)
    }

    func forget(_ descriptor: Int32) { csp_epoll_forget(epoll, descriptor) }

    func wait(atMost nanoseconds: Int64, _ body: (UnsafeBufferPointer<csp_poll_event>) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: csp_poll_event.self, capacity: CSP_POLL_BATCH) { room in
            let count = unsafe csp_epoll_wait(epoll, interrupter, room.baseAddress!, nanoseconds)
            if count > 0 { unsafe body(UnsafeBufferPointer(rebasing: room[..<Int(count)])) }
        }
    }

    func interrupt() { csp_epoll_interrupt(interrupter) }

    var hasEvents: Bool { csp_epoll_has_events(epoll) }
}
