// The same for Swift tasks, which suspend. What ends their waits is their cancellation.
extension PollDescriptor {
    /// As `enter`, in a Swift task.
    nonisolated(nonsending)
        package func enterSuspending(_ direction: PollDirections) async throws(PollFailure)
    {
        if Task.isCancelled { throw .taskCancelled }
        let lane = lane(direction)
        switch lane.enter() {
        case .entered: return
        case .drained: try await waitSuspending(direction)
        case .taken:
            var nothing = _Placed<Void>(())
            let index = await _chooseSuspending(PollPlan(lane, forTurn: true), &nothing)
            if index < 0 { throw .taskCancelled }
            try resume(lane)
        case .failed(let failure): throw failure
        }
    }

    /// As `wait`, in a Swift task.
    nonisolated(nonsending)
        package func waitSuspending(_ direction: PollDirections) async throws(PollFailure)
    {
        let lane = lane(direction)
        try watchOrLeave(direction)
        if !lane.mustRetry() {
            count(1)
            var nothing = _Placed<Void>(())
            let index = await _chooseSuspending(PollPlan(lane, forTurn: false), &nothing)
            count(-1)
            if index < 0 {
                leave(direction)
                throw .taskCancelled
            }
        }
        try resume(lane)
    }
}
