#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

// The only file that talks to the kernel. Two rules for goroutines hold here, and only here do they need thought:
// - errno belongs to the thread, and a goroutine that parks may go on in another one. So nothing in this file parks
//   (blocking in the kernel is no park), each function reads errno right after its call, and none is inlined: the compiler
//   may keep errno's address for the length of a function.
// - a goroutine has 256 KiB of stack, so large buffers are on the heap.

/// Why a system call failed.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    /// As in errno; 0 for `notRegular`, which is our own verdict and no call's.
    package let code: Int32

    package init(code: Int32) { self.code = code }

    package static let notRegular = SystemError(code: 0)

    package var description: String {
        if self == .notRegular { return "Neither a regular file nor a directory" }
        // SAFETY: strerror never returns null; glibc's buffer is the thread's own, and is copied before anything else.
        return unsafe String(cString: strerror(code))
    }

    fileprivate static var last: SystemError {
        @inline(never) get { SystemError(code: errno) }
    }
}

/// Calls again when a signal came in between; throws what else went wrong.
@inline(never)
@discardableResult
private func checked<Result: SignedInteger>(_ call: () -> Result) throws(SystemError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let error = SystemError.last
        if error.code != EINTR { throw error }
    }
}

extension Array where Element == UInt8 {
    /// These bytes as a C string, for one call.
    fileprivate func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        // SAFETY: the copy ends with a zero and outlives the call.
        unsafe (self + [0]).withUnsafeBytes { unsafe body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
    }
}

// MARK: Files

enum FileKind: Sendable {
    case regular, directory, other

    fileprivate init(mode: mode_t) {
        switch mode & S_IFMT {
        case S_IFREG: self = .regular
        case S_IFDIR: self = .directory
        default: self = .other
        }
    }
}

/// Where a name is looked up: in a directory that is open, or, for the path a user gave, in the working directory.
/// Only that path may be a symbolic link.
private func lookup(_ directory: Directory?) -> (descriptor: Int32, openFlags: Int32, statFlags: Int32) {
    guard let directory else { return (AT_FDCWD, 0, 0) }
    return (directory.descriptor, O_NOFOLLOW, AT_SYMLINK_NOFOLLOW)
}

/// What `name` is, and its size in bytes.
@inline(never)
func status(of name: [UInt8], in directory: Directory?) throws(SystemError) -> (kind: FileKind, size: Int64) {
    let place = lookup(directory)
    var status = stat()
    // SAFETY: `status` and the name live through the call.
    try checked { unsafe name.withCString { unsafe fstatat(place.descriptor, $0, &status, place.statFlags) } }
    return (FileKind(mode: status.st_mode), Int64(status.st_size))
}

/// A regular file, open for reading, and closed when its owner drops it.
struct InputFile: ~Copyable {
    private let descriptor: Int32

    /// Throws `.notRegular` when it is anything else, without waiting for, say, a pipe's other end.
    @inline(never)
    static func open(_ name: [UInt8], in directory: Directory?) throws(SystemError) -> InputFile {
        let place = lookup(directory)
        let flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | place.openFlags
        // SAFETY: the name lives through the call.
        let descriptor = try checked { unsafe name.withCString { unsafe openat(place.descriptor, $0, flags) } }
        let file = InputFile(descriptor: descriptor)
        var status = stat()
        // SAFETY: `status` lives through the call.
        try checked { unsafe fstat(descriptor, &status) }
        guard FileKind(mode: status.st_mode) == .regular else { throw .notRegular }
        return file
    }

    /// Fills `buffer` from its start, as far as one read does; 0 at the end of the file.
    @inline(never)
    func read(into buffer: inout [UInt8]) throws(SystemError) -> Int {
        // SAFETY: the kernel writes into the buffer, for at most its length, during the call.
        try checked { unsafe buffer.withUnsafeMutableBytes { unsafe Self.read(descriptor, $0) } }
    }

    private static func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        // SAFETY: the buffer is valid for its count, which the caller warrants.
        #if canImport(Musl)
            unsafe Musl.read(descriptor, buffer.baseAddress, buffer.count)
        #else
            unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)
        #endif
    }

    deinit { close(descriptor) }
}

// MARK: Directories

/// A directory that stays open for as long as anyone has it: names are looked up relative to it, so that no path is too long
/// for the kernel, and none is led astray when a directory above is renamed.
final class Directory: Sendable {
    fileprivate let descriptor: Int32

    struct Entry {
        let name: [UInt8]
        /// Nil when the file system does not tell with the name.
        let kind: FileKind?
    }

    @inline(never)
    init(opening name: [UInt8], in parent: Directory?) throws(SystemError) {
        let place = lookup(parent)
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | place.openFlags
        // SAFETY: the name lives through the call.
        descriptor = try checked { unsafe name.withCString { unsafe openat(place.descriptor, $0, flags) } }
    }

    /// All but "." and "..", in no order. To be called once.
    @inline(never)
    func entries() throws(SystemError) -> [Entry] {
        // The stream closes the descriptor that it is given, so it gets its own.
        let copy = try checked { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }
        // SAFETY: `copy` is open, and the stream's from now on.
        guard let stream = unsafe fdopendir(copy) else {
            let error = SystemError.last
            close(copy)
            throw error
        }
        // SAFETY: opened above, closed once.
        defer { _ = unsafe closedir(stream) }

        var entries: [Entry] = []
        while true {
            errno = 0
            // SAFETY: the stream is open, and only this function has it.
            guard let entry = unsafe readdir(stream) else {
                let error = SystemError.last
                if error.code == 0 { return entries }
                throw error
            }
            // SAFETY: valid until the next readdir; the name ends with a zero, and is copied.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe Array(
                    UnsafeRawBufferPointer(
                        start: $0, count: strlen(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))))
            }
            if name == [dot] || name == [dot, dot] { continue }
            // SAFETY: as above.
            entries.append(Entry(name: name, kind: FileKind(directoryEntryType: unsafe entry.pointee.d_type)))
        }
    }

    deinit { close(descriptor) }
}

private let dot = UInt8(ascii: ".")

extension FileKind {
    fileprivate init?(directoryEntryType type: UInt8) {
        switch Int(type) {
        case Int(DT_UNKNOWN): return nil
        case Int(DT_REG): self = .regular
        case Int(DT_DIR): self = .directory
        default: self = .other
        }
    }
}

/// Lets this process have as many files open as it may: one directory stays open for each level of a tree.
package func raiseOpenFileLimit() {
    var limit = rlimit()
    #if canImport(Musl)
        let resource = RLIMIT_NOFILE
    #else
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #endif
    // SAFETY: `limit` lives through both calls.
    guard unsafe getrlimit(resource, &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    // Refused, which is rare, the old limit stays, and a tree too deep for it is reported as such.
    // SAFETY: see above.
    _ = unsafe setrlimit(resource, &limit)
}

// MARK: Output

/// Writes all of `bytes`, or throws why not.
@inline(never)
func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws(SystemError) {
    var written = 0
    while written < bytes.count {
        do throws(SystemError) {
            written += try checked {
                // SAFETY: the bytes live through the call, and the offset is within them.
                unsafe bytes.withUnsafeBytes {
                    unsafe write(descriptor, $0.baseAddress! + written, bytes.count - written)
                }
            }
        } catch  where error.code == EAGAIN {
            // Whoever shares this pipe or terminal has made it non-blocking: wait until it takes more.
            var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            // SAFETY: one structure, which lives through the call.
            try checked { unsafe poll(&wanted, 1, -1) }
        }
    }
}

/// The width of the terminal in columns; nil when `descriptor` is no terminal, or one that cannot move its cursor.
package func terminalWidth(_ descriptor: Int32) -> Int? {
    guard isatty(descriptor) == 1 else { return nil }
    // SAFETY: getenv returns a C string or null, and nothing in this program changes the environment.
    if let terminal = unsafe getenv("TERM"), unsafe strcmp(terminal, "dumb") == 0 { return nil }
    var size = winsize()
    // SAFETY: `size` lives through the call, which fills it.
    guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
}

/// Makes a write to a pipe that nobody reads fail with an error, which is reported, instead of ending the process.
package func ignoreBrokenPipes() {
    _ = signal(SIGPIPE, SIG_IGN)
}
