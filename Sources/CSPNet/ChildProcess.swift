import CCSP
public import CSP
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A process that this one has started, by whatever means that leaves it to be waited for.
public struct ChildProcess: Hashable, Sendable {
    /// The process's number.
    public let id: Int32

    /// - Parameter id: A child's, as from `posix_spawn`.
    public init(id: Int32) { self.id = id }

    /// How a process has ended.
    public enum Status: Hashable, Sendable {
        /// By itself, with this exit status.
        case exited(Int32)
        /// By this signal.
        case killed(signal: Int32)

        /// It has exited with status 0.
        public var isSuccess: Bool { self == .exited(0) }
    }

    /// Waits for the process to end, and takes its status from the system, which forgets it then: only one wait succeeds. Holds no thread, unlike
    /// `waitpid`.
    /// - Throws: `noChildProcess` for what is not a child, or was waited for already; `noFunction` before Linux 5.4.
    @available(*, noasync)
    public func wait(in context: Context? = nil) throws(NetError) -> Status {
        do throws(PollFailure) {
            return try open().perform(.reading, context) { file in Self.reap(file) }
        } catch { throw failure(error) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func wait() async throws(NetError) -> Status
    {
        do throws(PollFailure) {
            return try await open().perform(.reading) { file in Self.reap(file) }
        } catch { throw failure(error) }
    }

    private func open() throws(PollFailure) -> PollDescriptor {
        let descriptor = csp_open_process(id)
        if descriptor >= 0 { return PollDescriptor(adopting: descriptor) }
        // One that has been reaped; which waiting for others calls the same as not being a child.
        throw .system(-descriptor == ESRCH ? ECHILD : -descriptor)
    }

    private static func reap(_ file: Int32) -> Attempt<Status> {
        var code: Int32 = 0
        var wasKilled = false
        // SAFETY: both live through the call.
        switch unsafe csp_reap_process(file, &code, &wasKilled) {
        case 0: return .done(wasKilled ? .killed(signal: code) : .exited(code))
        case EAGAIN: return .wouldBlock
        case let error: return .failed(error)
        }
    }

    private func failure(_ failure: PollFailure) -> NetError {
        NetError(.wait, "process \(id)", nil, NetError.Cause(failure))
    }
}
