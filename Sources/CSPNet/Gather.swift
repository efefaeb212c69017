import CCSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Several pieces on their way out in one system call, as far as that takes them.
struct Gather {
    private let pieces: [[UInt8]]
    /// The first piece that is not all written, and how much of it is.
    private var piece = 0
    private var offset = 0

    /// In one call. The kernel would take 1024 (IOV_MAX), but each takes some stack here.
    private static let mostPieces = 64

    init(_ pieces: [[UInt8]]) { self.pieces = pieces }

    mutating func write(to file: Int32, isSocket: Bool) -> Attempt<Void> {
        while true {
            skip(0)
            if piece == pieces.count { return .done(()) }
            let last = min(pieces.count, piece + Self.mostPieces)
            let wanted = pieces[piece..<last].reduce(-offset) { $0 + $1.count }
            let attempt = unsafe withVectors(to: last) { vectors in
                // SAFETY: the vectors point to the pieces, which live through the call; the kernel reads only.
                guard isSocket else {
                    return withoutBrokenPipeSignal {
                        Attempt<Int>.call { unsafe writev(file, vectors.baseAddress, Int32(vectors.count)) }
                    }
                }
                var message = unsafe msghdr()
                unsafe message.msg_iov = vectors.baseAddress
                unsafe message.msg_iovlen = vectors.count
                return Attempt<Int>.call { unsafe sendmsg(file, &message, Int32(MSG_NOSIGNAL)) }
            }
            switch attempt {
            case .done(let count), .drained(let count):
                skip(count)
                // Less than there was: there is no more room.
                if count < wanted { return .wouldBlock }
            case .wouldBlock: return .wouldBlock
            case .failed(let error): return .failed(error)
            }
        }
    }

    /// So many bytes are written. Passes empty pieces.
    private mutating func skip(_ count: Int) {
        offset += count
        while piece < pieces.count, offset >= pieces[piece].count {
            offset -= pieces[piece].count
            piece += 1
        }
    }

    private func withVectors<T>(to last: Int, _ body: (UnsafeMutableBufferPointer<iovec>) -> T) -> T {
        // SAFETY: there is a vector for each piece; `hold` keeps all of them in place until `body` has returned.
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: last - piece) { vectors in
            unsafe hold(piece, last, vectors, body)
        }
    }

    /// One frame for each piece: an array's memory is in place only within a call.
    private func hold<T>(
        _ index: Int, _ last: Int, _ vectors: UnsafeMutableBufferPointer<iovec>,
        _ body: (UnsafeMutableBufferPointer<iovec>) -> T
    ) -> T {
        if index == last { return unsafe body(vectors) }
        // SAFETY: as above; the kernel only reads.
        return unsafe pieces[index].withUnsafeBytes { bytes in
            let skipped = index == piece ? offset : 0
            unsafe vectors[index - piece] = unsafe iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress).map { unsafe $0 + skipped },
                iov_len: bytes.count - skipped)
            return unsafe hold(index + 1, last, vectors, body)
        }
    }
}

/// Runs `body`, a system call on something else than a socket: where nobody reads any more it fails, and kills nobody.
func withoutBrokenPipeSignal<T>(_ body: () -> T) -> T {
    // On one thread all through: nothing here waits.
    var state = csp_pipe_signal()
    // SAFETY: the state lives through the call.
    unsafe csp_hold_pipe_signal(&state)
    defer { unsafe csp_release_pipe_signal(&state) }
    return body()
}
