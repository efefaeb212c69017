#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The command line's arguments as the kernel passed them. Swift repairs what is not UTF-8 when it makes strings of them, and
/// a repaired path leads nowhere.
enum RawArguments {
    /// The bytes of the last argument that reads as `text`.
    static func bytes(of text: String) -> [UInt8] {
        // SAFETY: argv has argc entries, each a C string that lives as long as the process.
        for index in (1..<max(1, Int(CommandLine.argc))).reversed() {
            guard let argument = unsafe CommandLine.unsafeArgv[index] else { continue }
            let bytes = unsafe Array(UnsafeRawBufferPointer(start: argument, count: strlen(argument)))
            if String(decoding: bytes, as: UTF8.self) == text { return bytes }
        }
        return Array(text.utf8)
    }
}
