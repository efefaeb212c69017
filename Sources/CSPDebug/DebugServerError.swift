#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why a debug server could not be started.
public struct DebugServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What has failed.
    public enum Reason: Hashable, Sendable {
        /// Somebody listens on the port already.
        case portInUse
        /// Ports below 1024 are the administrator's.
        case permissionDenied
        /// No interface of this machine has the address.
        case addressNotAvailable
        /// The host is not an IP address, or the port is not from 0 to 65535.
        case badAddress
        /// Another error of the system, by its `errno`.
        case system(Int32)
        /// Anything else that the server said.
        case other(String)
    }

    /// What has failed.
    public let reason: Reason
    /// Host and port that were asked for.
    public let address: String

    /// What has failed and what to do about it, in one line.
    public var description: String {
        let what =
            switch reason {
            case .portInUse: "the port is in use; choose another, or 0 for any that is free"
            case .permissionDenied: "permission denied; choose a port from 1024 on"
            case .addressNotAvailable: "this machine has no such address; choose one that `ip address` shows"
            case .badAddress:
                "not an IP address with a port from 0 to 65535; give one as \"127.0.0.1\", \"::1\" or \"0.0.0.0\""
            case .system(let number): unsafe String(cString: strerror(number))  // SAFETY: copied at once.
            case .other(let text): text
            }
        return "debug server: cannot listen on \(address): \(what)"
    }

    init(_ reason: Reason, _ address: String) {
        self.reason = reason
        self.address = address
    }

    init(errno number: Int32, _ address: String) {
        let reason: Reason =
            switch number {
            case EADDRINUSE: .portInUse
            case EACCES, EPERM: .permissionDenied
            case EADDRNOTAVAIL: .addressNotAvailable
            default: .system(number)
            }
        self.init(reason, address)
    }
}
