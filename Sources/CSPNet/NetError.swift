public import CSP
public import SystemPackage

/// Why something with a connection, a listener or a name did not succeed. Says what was tried and with which address, in Go's words:
/// `read tcp 127.0.0.1:43210->127.0.0.1:80: connection reset by peer`.
public struct NetError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was tried.
    public enum Operation: String, Sendable {
        case listen, accept, dial, resolve, read, write, close, copy, open, wait
        case option = "set option"
    }

    /// Why it failed.
    public enum Cause: Sendable, Equatable {
        /// The system refused.
        case system(Errno)
        /// It was closed on this side, before or meanwhile.
        case closed
        /// Its own deadline has passed: see `setDeadline`.
        case deadlineExceeded
        /// The context is done.
        case context(ContextError)
        /// The Swift task was cancelled.
        case taskCancelled
        /// A name could not be resolved: the resolver's words, and whether it may succeed later.
        case name(String, isTemporary: Bool)
        /// The other side ended before all that was wanted had come.
        case unexpectedEnd
        /// What was read is longer than allowed.
        case tooLong(limit: Int)
        /// An address that cannot be used for this.
        case badAddress(String)
    }

    /// In an object, so that functions which may throw it have little to pass on.
    private final class Storage: Sendable {
        let operation: Operation
        let subject: String
        let address: SocketAddress?
        let cause: Cause

        init(_ operation: Operation, _ subject: String, _ address: SocketAddress?, _ cause: Cause) {
            self.operation = operation
            self.subject = subject
            self.address = address
            self.cause = cause
        }
    }

    private let storage: Storage

    init(_ operation: Operation, _ subject: String, _ address: SocketAddress? = nil, _ cause: Cause) {
        storage = Storage(operation, subject, address, cause)
    }

    /// What was tried.
    public var operation: Operation { storage.operation }
    /// Why it failed.
    public var cause: Cause { storage.cause }
    /// The other side's address, or that of a listener, where it is known.
    public var address: SocketAddress? { storage.address }

    /// Whether the same failed for the same reason.
    public static func == (a: NetError, b: NetError) -> Bool {
        a.storage === b.storage
            || (a.operation == b.operation && a.storage.subject == b.storage.subject && a.address == b.address
                && a.cause == b.cause)
    }

    /// The system's error, if it was one.
    public var errno: Errno? { if case .system(let errno) = cause { errno } else { nil } }

    /// A deadline has passed, this one's or the context's, or the system gave up waiting. Others may go on.
    public var isTimeout: Bool {
        switch cause {
        case .deadlineExceeded, .context(.deadlineExceeded), .system(.timedOut): true
        default: false
        }
    }

    /// It was closed on this side: for who accepts, the usual end.
    public var isClosed: Bool { cause == .closed }

    /// The context or the task was cancelled.
    public var isCanceled: Bool { cause == .context(.canceled) || cause == .taskCancelled }

    /// The other side has gone: it reset the connection, or does not read any more.
    public var isDisconnect: Bool { errno == .connectionReset || errno == .brokenPipe || errno == .connectionAbort }

    /// Too many open descriptors, in this process or in the system.
    public var isOutOfDescriptors: Bool { errno == .tooManyOpenFiles || errno == .tooManyOpenFilesInSystem }

    /// See `NetError`.
    public var description: String {
        let subject = storage.subject.isEmpty ? "" : " " + storage.subject
        return "\(operation.rawValue)\(subject): \(cause)"
    }
}

extension NetError.Cause: CustomStringConvertible {
    /// In Go's words.
    public var description: String {
        switch self {
        case .system(let errno): errno.description
        case .closed: "use of closed network connection"
        case .deadlineExceeded: "i/o timeout"
        case .context(let error): error.description
        case .taskCancelled: "task cancelled"
        case .name(let words, _): words
        case .unexpectedEnd: "unexpected end"
        case .tooLong(let limit): "longer than \(limit) bytes"
        case .badAddress(let words): words
        }
    }

    init(_ failure: PollFailure) {
        switch failure {
        case .closed: self = .closed
        case .deadlineExceeded: self = .deadlineExceeded
        case .context(let error): self = .context(error)
        case .taskCancelled: self = .taskCancelled
        case .system(let code): self = .system(Errno(rawValue: code))
        }
    }
}
