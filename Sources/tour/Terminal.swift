#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// What the tour needs of the terminal, if there is one.
enum Terminal {
    private static let showsStyles =
        isatty(STDOUT_FILENO) == 1 && environment("NO_COLOR") == nil && environment("TERM") != "dumb"

    static func bold(_ text: String) -> String { showsStyles ? "\u{1B}[1m\(text)\u{1B}[0m" : text }

    static func dim(_ text: String) -> String { showsStyles ? "\u{1B}[2m\(text)\u{1B}[0m" : text }

    /// Writes out what `print` has gathered so far.
    static func flush() {
        fflush(nil)  // Every open stream: naming `stdout` would touch a global variable that Swift cannot check.
    }

    static func exit(_ status: Int32, message: String) -> Never {
        flush()
        let line = Array((message + "\n").utf8)
        // SAFETY: the pointer is to the array's bytes, and the count is the array's own.
        _ = unsafe write(STDERR_FILENO, line, line.count)
        #if canImport(Musl)
            Musl.exit(status)
        #else
            Glibc.exit(status)
        #endif
    }

    private static func environment(_ name: String) -> String? {
        // SAFETY: getenv returns a C string or null; nothing here changes the environment meanwhile.
        guard let value = unsafe getenv(name) else { return nil }
        // SAFETY: see above; the bytes are copied.
        return unsafe String(cString: value)
    }
}

/// How many threads the kernel runs for this process.
func countThreads() -> Int {
    // SAFETY: a C string literal in; null, which is checked, or a directory that is ours to close, out.
    guard let directory = unsafe opendir("/proc/self/task") else { return 0 }
    // SAFETY: opened above, closed once, here.
    defer { _ = unsafe closedir(directory) }
    var count = 0
    // SAFETY: open until the end of this function. Each entry is only counted, not read.
    while unsafe readdir(directory) != nil { count += 1 }
    return count - 2  // "." and ".."
}

/// `text` as one word of a shell command.
func shellQuoted(_ text: String) -> String {
    let plain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-+=:,@%".contains($0)) }
    if plain, !text.isEmpty { return text }
    // Within single quotes only a single quote is special: leave them, add one that is escaped, go on.
    return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}

extension Duration {
    /// Three significant digits or so, in the unit that fits: "850 µs", "12.3 ms", "1.20 s".
    var short: String {
        let microseconds = self / .microseconds(1)
        return switch microseconds {
        case ..<1_000: "\(Int(microseconds.rounded())) µs"
        case ..<1_000_000: rounded(microseconds / 1_000, decimals: microseconds < 100_000 ? 1 : 0) + " ms"
        default: rounded(microseconds / 1_000_000, decimals: 2) + " s"
        }
    }

    private func rounded(_ value: Double, decimals: Int) -> String {
        let scale = decimals == 0 ? 1 : decimals == 1 ? 10 : 100
        let scaled = Int((value * Double(scale)).rounded())
        if decimals == 0 { return "\(scaled)" }
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: decimals - fraction.count) + fraction
    }
}
