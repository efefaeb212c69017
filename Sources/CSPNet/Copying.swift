import CCSP
public import CSP
public import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

// From one descriptor to another, within the kernel where it can do that: Go's `io.Copy`.
extension ByteStream {
    /// Writes all that comes from here, until the end or `limit` bytes, to `destination`. Neither is closed. Bytes stay in the kernel where it can do
    /// that (splice(2)).
    /// - Returns: How many bytes.
    /// - Throws: The reading or the writing side's error. Bytes that have been read and not written are lost then.
    @available(*, noasync)
    public final func copy(
        to destination: ByteStream, limit: Int = .max, in context: Context? = nil
    ) throws(NetError) -> Int {
        let relay = Relay()
        while try receive(by: relay, limit, context) {
            do throws(PollFailure) {
                try destination.descriptor.perform(.writing, context) { file in relay.empty(into: file) }
            } catch { throw destination.failure(.write, error) }
        }
        return relay.passed
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func copy(to destination: ByteStream, limit: Int = .max) async throws(NetError) -> Int
    {
        let relay = Relay()
        while try await receive(by: relay, limit) {
            do throws(PollFailure) {
                try await destination.descriptor.perform(.writing) { file in relay.empty(into: file) }
            } catch { throw destination.failure(.write, error) }
        }
        return relay.passed
    }

    /// Writes all that comes from here, until the end or `limit` bytes, to `file`, one on a disk, at its position, which advances.
    /// - Returns: How many bytes.
    /// - Throws: The reading side's error, or the file's. Bytes that have been read and not written are lost then.
    @available(*, noasync)
    public final func copy(
        to file: FileDescriptor, limit: Int = .max, in context: Context? = nil
    ) throws(NetError) -> Int {
        let relay = Relay()
        while try receive(by: relay, limit, context) { try store(relay, in: file) }
        return relay.passed
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func copy(to file: FileDescriptor, limit: Int = .max) async throws(NetError) -> Int
    {
        let relay = Relay()
        while try await receive(by: relay, limit) { try store(relay, in: file) }
        return relay.passed
    }

    /// Writes what `file`, one on a disk, has; within the kernel where it can do that (sendfile(2)).
    /// - Parameters:
    ///   - offset: Where in the file to begin, whose position stays as it is; nil: at that position, which advances.
    ///   - count: How many bytes at most; fewer if the file ends before.
    /// - Returns: How many bytes.
    @available(*, noasync)
    public final func write(
        contentsOf file: FileDescriptor, at offset: Int64? = nil, count: Int = .max, in context: Context? = nil
    ) throws(NetError) -> Int {
        let source = FileSource(file, offset, count)
        do throws(PollFailure) {
            try descriptor.perform(.writing, context) { own in source.send(to: own) }
        } catch { throw failure(.copy, error) }
        return source.sent
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func write(
            contentsOf file: FileDescriptor, at offset: Int64? = nil, count: Int = .max
        ) async throws(NetError) -> Int
    {
        let source = FileSource(file, offset, count)
        do throws(PollFailure) {
            try await descriptor.perform(.writing) { own in source.send(to: own) }
        } catch { throw failure(.copy, error) }
        return source.sent
    }

    /// False at the end.
    private func receive(by relay: Relay, _ limit: Int, _ context: Context?) throws(NetError) -> Bool {
        if relay.passed >= limit { return false }
        do throws(PollFailure) {
            return try descriptor.perform(.reading, context) { file in relay.fill(from: file, limit - relay.passed) }
                > 0
        } catch { throw failure(.read, error) }
    }

    nonisolated(nonsending)
        private func receive(by relay: Relay, _ limit: Int) async throws(NetError) -> Bool
    {
        if relay.passed >= limit { return false }
        do throws(PollFailure) {
            return try await descriptor.perform(.reading) { file in relay.fill(from: file, limit - relay.passed) } > 0
        } catch { throw failure(.read, error) }
    }

    private func store(_ relay: Relay, in file: FileDescriptor) throws(NetError) {
        switch relay.empty(into: file.rawValue) {
        case .done, .drained: return
        case .wouldBlock: throw failure(.copy, because: .system(.resourceTemporarilyUnavailable))
        case .failed(let error): throw failure(.copy, because: .system(Errno(rawValue: error)))
        }
    }
}

/// Bytes on their way from one descriptor to another: in a pipe, which splice(2) needs on one of its sides, or in memory if there is no pipe to be had or one of the
/// two does not take part in that.
private final class Relay {
    private var pipe: SplicePipe?
    private var held = 0
    // Without a pipe.
    private var bytes: [UInt8] = []
    /// How many have gone in, which all have come out before more go in.
    private(set) var passed = 0

    init() { pipe = SplicePipe() }

    /// How many bytes have come; 0 at the end.
    func fill(from file: Int32, _ limit: Int) -> Attempt<Int> {
        let most = min(limit, 1 << 18)
        var attempt = Attempt<Int>.failed(EINVAL)
        if let pipe {
            // It is empty, so what would block is the other side.
            attempt = .call { csp_splice(file, pipe.writing, most) }
            if case .failed(EINVAL) = attempt { self.pipe = nil }
        }
        if pipe == nil { attempt = fillMemory(from: file, min(most, 1 << 16)) }
        if case .done(let count) = attempt {
            held = count
            passed += count
        }
        return attempt
    }

    private func fillMemory(from file: Int32, _ most: Int) -> Attempt<Int> {
        bytes = [UInt8](repeating: 0, count: most)
        // SAFETY: the kernel writes within the array.
        let attempt = unsafe bytes.withUnsafeMutableBytes { room in
            Attempt<Int>.call { unsafe read(file, room.baseAddress, room.count) }
        }
        if case .done(let count) = attempt { bytes.removeLast(bytes.count - count) }
        return attempt
    }

    func empty(into file: Int32) -> Attempt<Void> {
        while held > 0 {
            var attempt = Attempt<Int>.failed(EINVAL)
            if let pipe {
                attempt = withoutBrokenPipeSignal { .call { csp_splice(pipe.reading, file, held) } }
                if case .failed(EINVAL) = attempt {
                    // All of it: the pipe has no more than that.
                    _ = fillMemory(from: pipe.reading, held)
                    self.pipe = nil
                }
            }
            if pipe == nil { attempt = write(bytes[(bytes.count - held)...], to: file) }
            switch attempt {
            case .done(let count), .drained(let count): held -= count
            case .wouldBlock: return .wouldBlock
            case .failed(let error): return .failed(error)
            }
        }
        return .done(())
    }
}

/// A file's bytes on their way out.
private final class FileSource {
    private let file: Int32
    private var offset: Int64?
    private let count: Int
    /// Bytes that were read because the kernel does not send them by itself, as far as they are not sent yet.
    private var bytes: ArraySlice<UInt8> = []
    private var isByHand = false
    private(set) var sent = 0

    init(_ file: FileDescriptor, _ offset: Int64?, _ count: Int) {
        self.file = file.rawValue
        self.offset = offset
        self.count = count
    }

    func send(to own: Int32) -> Attempt<Void> {
        while sent < count {
            let attempt = isByHand ? sendByHand(to: own) : sendWithinKernel(to: own)
            switch attempt {
            // The file's end.
            case .done(0), .drained(0): return .done(())
            case .done(let count), .drained(let count): sent += count
            case .wouldBlock: return .wouldBlock
            case .failed(EINVAL) where !isByHand, .failed(ENOSYS) where !isByHand: isByHand = true
            case .failed(let error): return .failed(error)
            }
        }
        return .done(())
    }

    private func sendWithinKernel(to own: Int32) -> Attempt<Int> {
        // Not more at a time, since a disk may be slow.
        let most = min(count - sent, 1 << 20)
        return withoutBrokenPipeSignal {
            guard var place = offset else { return .call { csp_send_file(own, file, nil, most) } }
            defer { offset = place }
            // SAFETY: the place lives through the call.
            return .call { unsafe csp_send_file(own, file, &place, most) }
        }
    }

    private func sendByHand(to own: Int32) -> Attempt<Int> {
        if bytes.isEmpty {
            var chunk = [UInt8](repeating: 0, count: min(count - sent, 1 << 16))
            // SAFETY: the kernel writes within the array.
            let attempt = unsafe chunk.withUnsafeMutableBytes { room in
                Attempt<Int>.call {
                    unsafe offset.map { unsafe pread(file, room.baseAddress, room.count, off_t($0)) }
                        ?? read(file, room.baseAddress, room.count)
                }
            }
            guard case .done(let found) = attempt, found > 0 else { return attempt }
            bytes = chunk[..<found]
            offset = offset.map { $0 + Int64(found) }
        }
        let attempt = write(bytes, to: own)
        if case .done(let count) = attempt { bytes = bytes.dropFirst(count) }
        return attempt
    }
}

/// Into a socket or anything else, as many as there is room for.
private func write(_ bytes: ArraySlice<UInt8>, to file: Int32) -> Attempt<Int> {
    withoutBrokenPipeSignal {
        // SAFETY: the kernel reads within the array.
        unsafe bytes.withUnsafeBytes { rest in .call { unsafe Glibc.write(file, rest.baseAddress, rest.count) } }
    }
}

/// A pipe's two ends, closed with it.
private final class SplicePipe {
    let reading: Int32
    let writing: Int32

    /// Nil for lack of descriptors or memory.
    init?() {
        guard let ends = try? openPipe(size: 1 << 18) else { return nil }
        (reading, writing) = ends
    }

    deinit {
        _ = close(reading)
        _ = close(writing)
    }
}
