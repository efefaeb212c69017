import CSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What a system call that must not block has come to.
enum Attempt<T> {
    case done(T)
    /// The same, and the next one would block until the kernel tells of something new.
    case drained(T)
    case wouldBlock
    case failed(Int32)

    /// From a call's result, negative for an error in `errno`, after as many interruptions as there are.
    @inline(__always)
    static func call(_ body: () -> Int) -> Attempt<Int> {
        while true {
            let result = body()
            if result >= 0 { return .done(result) }
            let error = errno
            if error == EINTR { continue }
            return error == EAGAIN || error == EWOULDBLOCK ? .wouldBlock : .failed(error)
        }
    }
}

extension PollDescriptor {
    /// Tries until that does not block, and waits in between.
    @inline(__always)
    func perform<T>(
        _ direction: PollDirections, _ context: Context?, _ attempt: (Int32) -> Attempt<T>
    ) throws(PollFailure) -> T {
        try enter(direction, context)
        while true {
            switch attempt(descriptor) {
            case .done(let value):
                leave(direction)
                return value
            case .drained(let value):
                leave(direction, drained: true)
                return value
            case .wouldBlock: try wait(direction, context)
            case .failed(let error):
                leave(direction)
                throw .system(error)
            }
        }
    }

    /// The same in a Swift task.
    @inline(__always)
    nonisolated(nonsending)
        func perform<T>(_ direction: PollDirections, _ attempt: (Int32) -> Attempt<T>) async throws(PollFailure) -> T
    {
        try await enterSuspending(direction)
        while true {
            switch attempt(descriptor) {
            case .done(let value):
                leave(direction)
                return value
            case .drained(let value):
                leave(direction, drained: true)
                return value
            case .wouldBlock: try await waitSuspending(direction)
            case .failed(let error):
                leave(direction)
                throw .system(error)
            }
        }
    }
}
