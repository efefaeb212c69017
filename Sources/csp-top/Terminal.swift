import CSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The terminal while a live table is on it. What was there comes back with `leave`.
struct Terminal {
    // SAFETY: (whole type) the system calls get variables of ours, which live through the call.
    private var before: termios?

    static var isThere: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Whoever started this may have signals blocked, and the program inherits that.
    static func unblock(_ signals: [Int32]) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }

    /// Keys come one by one and unseen; Ctrl-C goes on being a signal.
    mutating func enter() {
        var settings = termios()
        if isatty(STDIN_FILENO) == 1, unsafe tcgetattr(STDIN_FILENO, &settings) == 0 {
            before = settings
            settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
            unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
        }
        // The other screen, without a cursor.
        Self.write("\u{1b}[?1049h\u{1b}[?25l")
    }

    mutating func leave() {
        Self.write("\u{1b}[?25h\u{1b}[?1049l")
        if var before { unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before) }
        before = nil
    }

    func show(_ lines: [String]) {
        // Over what is there, line by line, so that nothing flickers.
        Self.write("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\n") + "\u{1b}[J")
    }

    var size: (columns: Int, lines: Int) {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// The keys that are pressed, one at a time; closed when there are no more.
    static func keys() -> Channel<UInt8> {
        let keys = Channel<UInt8>()
        go("keys") {
            var key: UInt8 = 0
            while blocking({ unsafe read(STDIN_FILENO, &key, 1) }) == 1 { keys <- key }
            keys.close()
        }
        return keys
    }

    private static func write(_ text: String) {
        var text = text[...]
        text.withUTF8 { bytes in
            var start = 0
            while start < bytes.count {
                let count = unsafe Glibc.write(STDOUT_FILENO, bytes.baseAddress! + start, bytes.count - start)
                if count <= 0 && errno != EINTR { return }
                start += max(0, count)
            }
        }
    }
}
