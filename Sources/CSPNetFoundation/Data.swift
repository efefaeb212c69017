public import CSP
public import CSPNet

#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

// Foundation's `Data` in and out. Its bytes are a span, too: `write(data.span)`.
extension ByteStream {
    /// Writes all of `data`, and waits for room as often as it must. See `write` of a span.
    @available(*, noasync)
    public final func write(_ data: Data, in context: Context? = nil) throws(NetError) {
        try write(data.span, in: context)
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func write(_ data: Data) async throws(NetError)
    {
        try await write(data.span)
    }

    /// Reads what there is, as soon as there is anything, but no more than `count` bytes. Nil at the end.
    @available(*, noasync)
    public final func readData(upTo count: Int, in context: Context? = nil) throws(NetError) -> Data? {
        try read(upTo: count, in: context).map { Data($0) }
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public final func readData(upTo count: Int) async throws(NetError) -> Data?
    {
        try await read(upTo: count).map { Data($0) }
    }

    /// Reads all until the end. Throws `tooLong` if that is more than `limit` bytes.
    @available(*, noasync)
    public final func readDataToEnd(limit: Int, in context: Context? = nil) throws(NetError) -> Data {
        try Data(readToEnd(limit: limit, in: context))
    }
}
