public import CSP

/// Reads a stream through a buffer: lines, parts up to a delimiter, exact counts (Go's `bufio.Reader` and `bufio.Scanner`).
///
/// ```swift
/// let reader = BufferedReader(connection)
/// while let line = try reader.readLine() { ... }
/// ```
/// For one goroutine or task at a time. It reads more from the stream than it is asked for, so nobody else should read from that. When an operation throws
/// nothing of what has come is lost: another one finds it.
public final class BufferedReader {
    /// Where it reads from.
    public let stream: ByteStream
    private let capacity: Int
    private var bytes: [UInt8]
    // What is at hand is at start..<end.
    private var start = 0
    private var end = 0

    /// - Parameter capacity: Bytes to ask the stream for, at the most. The buffer grows beyond that for what must be kept in one piece, up to the
    ///   limit of the operation.
    public init(_ stream: ByteStream, capacity: Int = 4096) {
        self.stream = stream
        self.capacity = max(16, capacity)
        bytes = [UInt8](repeating: 0, count: self.capacity)
    }

    /// How many bytes are at hand without asking the stream.
    public var bufferedCount: Int { end - start }

    // MARK: Lines and delimiters

    /// The next line, without its end, "\n" or "\r\n"; nil after the last one, which need not have an end. What is not UTF-8 is repaired.
    /// - Parameter limit: A line of more bytes throws `tooLong`. It is still there then, see `skip(through:)`.
    @available(*, noasync)
    public func readLine(limit: Int = 65_536, in context: Context? = nil) throws(NetError) -> String? {
        var search = Search(newline)
        return try find(context) { atEnd throws(NetError) in try takeLine(limit, &search, atEnd) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func readLine(limit: Int = 65_536) async throws(NetError) -> String?
    {
        var search = Search(newline)
        return try await find { atEnd throws(NetError) in try takeLine(limit, &search, atEnd) }
    }

    /// All bytes up to and with the next `delimiter`; without one, what there is before the end, and nil if that is nothing.
    /// - Parameter limit: More bytes, the delimiter among them, throw `tooLong`. They are still there then.
    @available(*, noasync)
    public func read(
        through delimiter: UInt8, limit: Int = 65_536, in context: Context? = nil
    ) throws(NetError) -> [UInt8]? {
        var search = Search(delimiter)
        return try find(context) { atEnd throws(NetError) in try takePart(limit, &search, atEnd) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func read(through delimiter: UInt8, limit: Int = 65_536) async throws(NetError) -> [UInt8]?
    {
        var search = Search(delimiter)
        return try await find { atEnd throws(NetError) in try takePart(limit, &search, atEnd) }
    }

    /// Drops all bytes up to and with the next `delimiter`, or up to the end, however many.
    /// - Returns: Whether there was a delimiter.
    @available(*, noasync)
    public func skip(through delimiter: UInt8, in context: Context? = nil) throws(NetError) -> Bool {
        try find(context) { atEnd throws(NetError) in drop(through: delimiter, atEnd) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func skip(through delimiter: UInt8) async throws(NetError) -> Bool
    {
        try await find { atEnd throws(NetError) in drop(through: delimiter, atEnd) }
    }

    /// A delimiter that is looked for, and how many of the bytes at hand it is not among.
    private struct Search {
        let delimiter: UInt8
        var seen = 0

        init(_ delimiter: UInt8) { self.delimiter = delimiter }
    }

    /// How many bytes there are up to and with the delimiter.
    private func count(through search: inout Search) -> Int? {
        if let place = bytes[(start + search.seen)..<end].firstIndex(of: search.delimiter) { return place - start + 1 }
        search.seen = bufferedCount
        return nil
    }

    private func takeLine(_ limit: Int, _ search: inout Search, _ atEnd: Bool) throws(NetError) -> String?? {
        let through = count(through: &search)
        var length = through.map { $0 - 1 } ?? bufferedCount
        // Without its end, this may yet be one.
        if length > 0, bytes[start + length - 1] == carriageReturn, through != nil || !atEnd { length -= 1 }
        if length > limit { throw stream.failure(.read, because: .tooLong(limit: limit)) }
        guard let taken = through ?? (atEnd ? bufferedCount : nil) else { return nil }
        if taken == 0 { return .some(nil) }
        defer { drop(taken) }
        return String(decoding: bytes[start..<(start + length)], as: UTF8.self)
    }

    private func takePart(_ limit: Int, _ search: inout Search, _ atEnd: Bool) throws(NetError) -> [UInt8]?? {
        let through = count(through: &search)
        if through ?? bufferedCount > limit { throw stream.failure(.read, because: .tooLong(limit: limit)) }
        guard let taken = through ?? (atEnd ? bufferedCount : nil) else { return nil }
        return .some(taken == 0 ? nil : take(taken))
    }

    private func drop(through delimiter: UInt8, _ atEnd: Bool) -> Bool? {
        var search = Search(delimiter)
        let through = count(through: &search)
        drop(through ?? bufferedCount)
        return through != nil ? true : atEnd ? false : nil
    }

    // MARK: Counts

    /// The next byte; nil at the end.
    @available(*, noasync)
    public func readByte(in context: Context? = nil) throws(NetError) -> UInt8? {
        if start == end, try fill(context) == 0 { return nil }
        return takeByte()
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func readByte() async throws(NetError) -> UInt8?
    {
        if start == end, try await fill() == 0 { return nil }
        return takeByte()
    }

    /// The next `count` bytes, all of them; nil if the end comes first thing. If it comes among them this throws `unexpectedEnd`.
    @available(*, noasync)
    public func read(exactly count: Int, in context: Context? = nil) throws(NetError) -> [UInt8]? {
        try find(context) { atEnd throws(NetError) in try takeExactly(count, atEnd) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func read(exactly count: Int) async throws(NetError) -> [UInt8]?
    {
        try await find { atEnd throws(NetError) in try takeExactly(count, atEnd) }
    }

    /// The next `count` bytes, which stay where they are; fewer only before the end.
    @available(*, noasync)
    public func peek(_ count: Int, in context: Context? = nil) throws(NetError) -> [UInt8] {
        try find(context) { atEnd throws(NetError) in look(count, atEnd) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func peek(_ count: Int) async throws(NetError) -> [UInt8]
    {
        try await find { atEnd throws(NetError) in look(count, atEnd) }
    }

    /// What there is, as soon as there is anything, but no more than `count` bytes; nil at the end.
    @available(*, noasync)
    public func read(upTo count: Int, in context: Context? = nil) throws(NetError) -> [UInt8]? {
        if start == end, try fill(context) == 0 { return nil }
        return take(min(max(1, count), bufferedCount))
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func read(upTo count: Int) async throws(NetError) -> [UInt8]?
    {
        if start == end, try await fill() == 0 { return nil }
        return take(min(max(1, count), bufferedCount))
    }

    /// All until the end. Throws `tooLong` if that is more than `limit` bytes, which are still there then.
    @available(*, noasync)
    public func readToEnd(limit: Int, in context: Context? = nil) throws(NetError) -> [UInt8] {
        try find(context) { atEnd throws(NetError) in try takeAll(limit, atEnd) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func readToEnd(limit: Int) async throws(NetError) -> [UInt8]
    {
        try await find { atEnd throws(NetError) in try takeAll(limit, atEnd) }
    }

    private func takeExactly(_ count: Int, _ atEnd: Bool) throws(NetError) -> [UInt8]?? {
        if bufferedCount >= count { return take(max(0, count)) }
        if !atEnd { return nil }
        if start == end { return .some(nil) }
        throw stream.failure(.read, because: .unexpectedEnd)
    }

    private func look(_ count: Int, _ atEnd: Bool) -> [UInt8]? {
        guard atEnd || bufferedCount >= count else { return nil }
        return Array(bytes[start..<(start + min(max(0, count), bufferedCount))])
    }

    private func takeAll(_ limit: Int, _ atEnd: Bool) throws(NetError) -> [UInt8]? {
        if bufferedCount > limit { throw stream.failure(.read, because: .tooLong(limit: limit)) }
        return atEnd ? take(bufferedCount) : nil
    }

    // MARK: Copying

    /// Writes all that comes, until the end, to `destination`; see `ByteStream.copy`. When this throws, bytes that have been read may be lost.
    /// - Returns: How many bytes.
    @available(*, noasync)
    public func copy(to destination: ByteStream, in context: Context? = nil) throws(NetError) -> Int {
        let first = take(bufferedCount)
        try destination.write(first, in: context)
        return try first.count + stream.copy(to: destination, in: context)
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func copy(to destination: ByteStream) async throws(NetError) -> Int
    {
        let first = take(bufferedCount)
        try await destination.write(first)
        return try await first.count + stream.copy(to: destination)
    }

    // MARK: The buffer

    /// Looks for something among the bytes at hand, and for more bytes until it is found. At the end it must be.
    private func find<T>(_ context: Context?, _ look: (_ atEnd: Bool) throws(NetError) -> T?) throws(NetError) -> T {
        if let found = try look(false) { return found }
        while try fill(context) > 0 { if let found = try look(false) { return found } }
        return try look(true)!
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        private func find<T>(_ look: (_ atEnd: Bool) throws(NetError) -> T?) async throws(NetError) -> T
    {
        if let found = try look(false) { return found }
        while try await fill() > 0 { if let found = try look(false) { return found } }
        return try look(true)!
    }

    /// Waits for more. 0 at the end.
    private func fill(_ context: Context?) throws(NetError) -> Int {
        var bytes = makeRoom()
        defer { self.bytes = bytes }
        var room = bytes.mutableSpan
        var buffer = unsafe room.mutableBytes
        let count = try stream.read(into: &buffer, from: end, in: context)
        end += count
        return count
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        private func fill() async throws(NetError) -> Int
    {
        var bytes = makeRoom()
        defer { self.bytes = bytes }
        var room = bytes.mutableSpan
        var buffer = unsafe room.mutableBytes
        let count = try await stream.read(into: &buffer, from: end)
        end += count
        return count
    }

    /// Takes the buffer, with room at its end.
    private func makeRoom() -> [UInt8] {
        var bytes: [UInt8] = []
        swap(&bytes, &self.bytes)
        if start == end {
            // Nor does it keep what one long line took.
            if bytes.count > 16 * capacity { bytes = [UInt8](repeating: 0, count: capacity) }
            start = 0
            end = 0
        } else if end == bytes.count {
            let kept = bytes[start..<end]
            let size = max(capacity, kept.count < bytes.count / 2 ? bytes.count : 2 * bytes.count)
            var moved = [UInt8]()
            moved.reserveCapacity(size)
            moved += kept
            moved += repeatElement(0, count: size - kept.count)
            bytes = moved
            end -= start
            start = 0
        }
        return bytes
    }

    private func take(_ count: Int) -> [UInt8] {
        defer { drop(count) }
        return Array(bytes[start..<(start + count)])
    }

    private func takeByte() -> UInt8 {
        defer { drop(1) }
        return bytes[start]
    }

    private func drop(_ count: Int) { start += count }
}

/// Gathers what is written into fewer system calls (Go's `bufio.Writer`).
///
/// For one goroutine or task at a time. `flush` what must arrive: nothing else does, and what was not flushed is gone with the writer. Once a write has failed
/// an unknown part of it was written, and all that follow fail in the same way.
public final class BufferedWriter {
    /// Where it writes to.
    public let stream: ByteStream
    private let capacity: Int
    private var bytes: [UInt8] = []
    private var failure: NetError?

    /// - Parameter capacity: Bytes to keep before they are written.
    public init(_ stream: ByteStream, capacity: Int = 4096) {
        self.stream = stream
        self.capacity = max(16, capacity)
        bytes.reserveCapacity(self.capacity)
    }

    /// How many bytes are not written yet.
    public var bufferedCount: Int { bytes.count }

    /// Keeps the bytes, or writes them with those that it has kept if they are too many.
    @available(*, noasync)
    public func write(_ bytes: [UInt8], in context: Context? = nil) throws(NetError) {
        if try keep(bytes) { return }
        try flush(followedBy: bytes, in: context)
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func write(_ bytes: [UInt8]) async throws(NetError)
    {
        if try keep(bytes) { return }
        try await flush(followedBy: bytes)
    }

    /// As `write` of bytes.
    @available(*, noasync)
    public func write(_ bytes: Span<UInt8>, in context: Context? = nil) throws(NetError) {
        // SAFETY: copied within the call.
        try unsafe write(bytes.withUnsafeBufferPointer { unsafe Array($0) }, in: context)
    }

    /// As `write` of bytes.
    nonisolated(nonsending)
        public func write(_ bytes: Span<UInt8>) async throws(NetError)
    {
        try await unsafe write(bytes.withUnsafeBufferPointer { unsafe Array($0) })
    }

    /// The text as UTF-8.
    @available(*, noasync)
    public func write(_ text: String, in context: Context? = nil) throws(NetError) {
        try write(Array(text.utf8), in: context)
    }

    /// The text as UTF-8.
    nonisolated(nonsending)
        public func write(_ text: String) async throws(NetError)
    {
        try await write(Array(text.utf8))
    }

    /// Writes what was kept.
    @available(*, noasync)
    public func flush(in context: Context? = nil) throws(NetError) { try flush(followedBy: [], in: context) }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public func flush() async throws(NetError)
    {
        try await flush(followedBy: [])
    }

    private func keep(_ more: [UInt8]) throws(NetError) -> Bool {
        if let failure { throw failure }
        if bytes.count + more.count > capacity { return false }
        bytes += more
        return true
    }

    private func flush(followedBy last: [UInt8], in context: Context?) throws(NetError) {
        if let failure { throw failure }
        let pieces = pieces(last)
        if pieces.isEmpty { return }
        do { try stream.write(pieces, in: context) } catch {
            failure = error
            throw error
        }
        bytes.removeAll(keepingCapacity: true)
    }

    nonisolated(nonsending)
        private func flush(followedBy last: [UInt8]) async throws(NetError)
    {
        if let failure { throw failure }
        let pieces = pieces(last)
        if pieces.isEmpty { return }
        do { try await stream.write(pieces) } catch {
            failure = error
            throw error
        }
        bytes.removeAll(keepingCapacity: true)
    }

    private func pieces(_ last: [UInt8]) -> [[UInt8]] { [bytes, last].filter { !$0.isEmpty } }
}

private let newline = UInt8(ascii: "\n")
private let carriageReturn = UInt8(ascii: "\r")
