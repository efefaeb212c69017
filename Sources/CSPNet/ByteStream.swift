public import CSP
public import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Something that bytes are read from and written to: a connection, or a file that can be polled.
///
/// Functions wait without holding a thread, in goroutines and in Swift tasks (there with `await`), or block the calling plain thread. They may be
/// called from anywhere at once: one reads and one writes at a time, the others wait for their turn, so that what several write is not mixed. An
/// operation that fails throws a `NetError`, typed.
///
/// What ends a wait: bytes or room for them, the other side's end, `close`, a deadline (`setDeadline`), and the context (`in:`, or else the goroutine's
/// current one) or the task's cancellation. A read or write that was ended by a deadline or a context may be followed by others.
///
/// The descriptor is closed by `close`, or when nobody has the object any more; once, and not while a system call uses it.
public class ByteStream: @unchecked Sendable {
    // SAFETY: (whole type) all of it is written once. Bytes have no padding, so a span of them may be seen as raw.
    let descriptor: PollDescriptor
    let kind: Kind
    /// The other side's address, if it has one.
    public let remoteAddress: SocketAddress?

    enum Kind: String {
        case tcp, unix, file
    }

    init(_ descriptor: PollDescriptor, _ kind: Kind, remote: SocketAddress?) {
        self.descriptor = descriptor
        self.kind = kind
        remoteAddress = remote
    }

    /// This side's address, if it has one and is not closed.
    public final var localAddress: SocketAddress? {
        if kind == .file { return nil }
        // SAFETY: `read` has room for any address.
        return descriptor.borrow { file in unsafe SocketAddress.read { unsafe getsockname(file, $0, $1) } } ?? nil
    }

    // MARK: Reading

    /// Reads what there is, as soon as there is anything, into the beginning of `buffer`.
    /// - Returns: How many bytes; 0 at the end, or if the buffer is empty.
    @available(*, noasync)
    public final func read(into buffer: inout MutableRawSpan, in context: Context? = nil) throws(NetError) -> Int {
        try read(into: &buffer, from: 0, in: context)
    }

    /// Over what follows the first `offset` bytes.
    final func read(into buffer: inout MutableRawSpan, from offset: Int, in context: Context?) throws(NetError) -> Int {
        if buffer.byteCount <= offset { return 0 }
        let kind = kind
        do {
            return try descriptor.perform(.reading, context) { file in Self.receive(file, kind, &buffer, offset) }
        } catch { throw failure(.read, error) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func read(into buffer: inout MutableRawSpan) async throws(NetError) -> Int
    {
        try await read(into: &buffer, from: 0)
    }

    /// Over what follows the first `offset` bytes.
    nonisolated(nonsending)
        final func read(into buffer: inout MutableRawSpan, from offset: Int) async throws(NetError) -> Int
    {
        if buffer.byteCount <= offset { return 0 }
        let kind = kind
        do {
            return try await descriptor.perform(.reading) { file in Self.receive(file, kind, &buffer, offset) }
        } catch { throw failure(.read, error) }
    }

    /// Reads what there is, as soon as there is anything, over the first elements of `bytes`.
    /// - Returns: How many; 0 at the end, or if the array is empty.
    @available(*, noasync)
    public final func read(into bytes: inout [UInt8], in context: Context? = nil) throws(NetError) -> Int {
        var span = bytes.mutableSpan
        var buffer = unsafe span.mutableBytes
        return try read(into: &buffer, in: context)
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func read(into bytes: inout [UInt8]) async throws(NetError) -> Int
    {
        var span = bytes.mutableSpan
        var buffer = unsafe span.mutableBytes
        return try await read(into: &buffer)
    }

    /// Reads what there is, as soon as there is anything, but no more than `count` bytes. Nil at the end.
    @available(*, noasync)
    public final func read(upTo count: Int, in context: Context? = nil) throws(NetError) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: max(1, count))
        let found = try read(into: &bytes, in: context)
        if found == 0 { return nil }
        bytes.removeLast(bytes.count - found)
        return bytes
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func read(upTo count: Int) async throws(NetError) -> [UInt8]?
    {
        var bytes = [UInt8](repeating: 0, count: max(1, count))
        let found = try await read(into: &bytes)
        if found == 0 { return nil }
        bytes.removeLast(bytes.count - found)
        return bytes
    }

    /// Reads all until the end. Throws `tooLong` if that is more than `limit` bytes.
    @available(*, noasync)
    public final func readToEnd(limit: Int, in context: Context? = nil) throws(NetError) -> [UInt8] {
        var all: [UInt8] = []
        while let some = try read(upTo: min(65_536, limit - all.count + 1), in: context) {
            all += some
            if all.count > limit { throw failure(.read, because: .tooLong(limit: limit)) }
        }
        return all
    }

    private static func receive(
        _ file: Int32, _ kind: Kind, _ buffer: inout MutableRawSpan, _ offset: Int
    ) -> Attempt<Int> {
        // SAFETY: the kernel writes within the span.
        unsafe buffer.withUnsafeMutableBytes { all in
            let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: all[offset...])
            guard kind != .file else {
                return Attempt<Int>.call { unsafe Glibc.read(file, bytes.baseAddress, bytes.count) }
            }
            let attempt = Attempt<Int>.call { unsafe recv(file, bytes.baseAddress, bytes.count, 0) }
            // Less than there was room for: that was all, and the kernel tells of each packet that comes after it. Only TCP's reads are short for
            // no other reason; its urgent data and its end are told apart: see `PollLane`.
            if kind == .tcp, case .done(let count) = attempt, count > 0, count < bytes.count { return .drained(count) }
            return attempt
        }
    }

    // MARK: Writing

    /// Writes all of `bytes`, and waits for room as often as it must.
    ///
    /// When it throws an unknown part was written: the stream is of no use then, unless nothing was going on but this.
    @available(*, noasync)
    public final func write(_ bytes: RawSpan, in context: Context? = nil) throws(NetError) {
        let kind = kind
        var written = 0
        do {
            try descriptor.perform(.writing, context) { file in Self.send(file, kind, bytes, &written) }
        } catch { throw failure(.write, error) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func write(_ bytes: RawSpan) async throws(NetError)
    {
        let kind = kind
        var written = 0
        do {
            try await descriptor.perform(.writing) { file in Self.send(file, kind, bytes, &written) }
        } catch { throw failure(.write, error) }
    }

    /// As `write` of a raw span.
    @available(*, noasync)
    public final func write(_ bytes: Span<UInt8>, in context: Context? = nil) throws(NetError) {
        try unsafe write(bytes.bytes, in: context)
    }

    /// As `write` of a raw span.
    nonisolated(nonsending)
        public final func write(_ bytes: Span<UInt8>) async throws(NetError)
    {
        try await unsafe write(bytes.bytes)
    }

    /// As `write` of a raw span.
    @available(*, noasync)
    public final func write(_ bytes: [UInt8], in context: Context? = nil) throws(NetError) {
        try unsafe write(bytes.span.bytes, in: context)
    }

    /// As `write` of a raw span.
    nonisolated(nonsending)
        public final func write(_ bytes: [UInt8]) async throws(NetError)
    {
        try await unsafe write(bytes.span.bytes)
    }

    /// Writes the text as UTF-8.
    @available(*, noasync)
    public final func write(_ text: String, in context: Context? = nil) throws(NetError) {
        try write(Array(text.utf8), in: context)
    }

    /// Writes the text as UTF-8.
    nonisolated(nonsending)
        public final func write(_ text: String) async throws(NetError)
    {
        try await write(Array(text.utf8))
    }

    private static func send(_ file: Int32, _ kind: Kind, _ bytes: RawSpan, _ written: inout Int) -> Attempt<Void> {
        // SAFETY: the kernel reads within the span.
        unsafe bytes.withUnsafeBytes { bytes in
            while written < bytes.count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[written...])
                switch unsafe sendSome(file, kind, rest) {
                case .done(let count), .drained(let count): written += count
                case .wouldBlock: return .wouldBlock
                case .failed(let error): return .failed(error)
                }
                // Less than there was: there is no more room.
                if written < bytes.count { return .wouldBlock }
            }
            return .done(())
        }
    }

    private static func sendSome(_ file: Int32, _ kind: Kind, _ bytes: UnsafeRawBufferPointer) -> Attempt<Int> {
        // SAFETY: the kernel reads within the buffer.
        if kind == .file {
            return withoutBrokenPipeSignal {
                Attempt<Int>.call { unsafe Glibc.write(file, bytes.baseAddress, bytes.count) }
            }
        }
        return Attempt<Int>.call { unsafe Glibc.send(file, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
    }

    /// Writes all of the pieces, one after the other, with as few system calls as that takes.
    @available(*, noasync)
    public final func write(_ pieces: [[UInt8]], in context: Context? = nil) throws(NetError) {
        let kind = kind
        var gather = Gather(pieces)
        do {
            try descriptor.perform(.writing, context) { file in gather.write(to: file, isSocket: kind != .file) }
        } catch { throw failure(.write, error) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func write(_ pieces: [[UInt8]]) async throws(NetError)
    {
        let kind = kind
        var gather = Gather(pieces)
        do {
            try await descriptor.perform(.writing) { file in gather.write(to: file, isSocket: kind != .file) }
        } catch { throw failure(.write, error) }
    }

    // MARK: Deadlines

    /// Reads and writes fail from `instant` on, also those that wait now (`isTimeout`); nil: they do not. May be called at any time.
    public final func setDeadline(_ instant: Time.Instant?) {
        descriptor.setDeadline(instant, for: [.reading, .writing])
    }
    /// The same for reads only.
    public final func setReadDeadline(_ instant: Time.Instant?) { descriptor.setDeadline(instant, for: .reading) }
    /// The same for writes only.
    public final func setWriteDeadline(_ instant: Time.Instant?) { descriptor.setDeadline(instant, for: .writing) }

    // MARK: Closing

    /// Ends all operations, also those that wait now: they throw `isClosed`. Once this returns the descriptor is closed. The second time does nothing.
    public final func close() { descriptor.close() }

    /// Runs `body` with the descriptor, which stays open meanwhile; for what is not here. Must not block, read, write or close it.
    public final func withDescriptor<T>(_ body: (FileDescriptor) throws -> T) throws -> T {
        guard let result = try descriptor.borrow({ try body(FileDescriptor(rawValue: $0)) }) else {
            throw failure(.open, because: .closed)
        }
        return result
    }

    // MARK: Errors

    final func failure(_ operation: NetError.Operation, _ failure: PollFailure) -> NetError {
        self.failure(operation, because: NetError.Cause(failure))
    }

    final func failure(_ operation: NetError.Operation, because cause: NetError.Cause) -> NetError {
        let local = localAddress.map { "\($0)" }, remote = remoteAddress.map { "\($0)" }
        let addresses = [local, remote].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "->")
        return NetError(
            operation, addresses.isEmpty ? kind.rawValue : "\(kind.rawValue) \(addresses)", remoteAddress, cause)
    }
}
