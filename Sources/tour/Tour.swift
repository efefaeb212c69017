import CSP

/// `swift run tour`: every snippet, or those named, each with its title, its real output and the time it took.
@main
enum Tour {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        switch arguments.first {
        case nil: play(snippets)
        case "--help", "-h": print(help)
        case "--list", "-l": list()
        case "checksum": print(checksumHint(directory: arguments.dropFirst().first))
        default: play(arguments.map(snippet(named:)))
        }
    }

    // MARK: Running

    private static func play(_ chosen: [any Snippet.Type]) {
        let clock = ContinuousClock()
        let elapsed = clock.measure {
            for snippet in chosen { play(snippet) }
        }
        if chosen.count > 1 { print("\(chosen.count) snippets in \(elapsed.short).") }
    }

    private static func play(_ snippet: any Snippet.Type) {
        print(Terminal.bold("== \(snippet.title)") + Terminal.dim("  (\(snippet.name))"))
        let goroutinesBefore = Goroutine.count
        let elapsed = ContinuousClock().measure { snippet.run() }
        let leftBehind = goroutinesLeft(above: goroutinesBefore)
        var footer = "-- took \(elapsed.short)"
        if leftBehind > 0 {
            footer += ", left \(leftBehind) goroutine\(leftBehind == 1 ? "" : "s") behind, blocked for ever"
        }
        print(Terminal.dim(footer), terminator: "\n\n")
        // Into a pipe, too, each snippet should be seen when it has run, not when all have.
        Terminal.flush()
    }

    /// How many more goroutines there are than `baseline`, once those that are about to return have done so.
    ///
    /// In Go, and here, the program ends when main returns, whatever goroutines are doing then. On a tour with another
    /// snippet to come, the stragglers would print into its output instead.
    private static func goroutinesLeft(above baseline: Int) -> Int {
        let clock = ContinuousClock()
        let deadline = clock.now + .milliseconds(50)
        while Goroutine.count > baseline, clock.now < deadline {
            Time.sleep(for: .milliseconds(1))
        }
        return max(0, Goroutine.count - baseline)
    }

    // MARK: Arguments

    private static func snippet(named name: String) -> any Snippet.Type {
        if let snippet = snippets.first(where: { $0.name == name }) { return snippet }
        var message = "tour: there is nothing named '\(name)'."
        let near = nearbyNames(to: name, among: snippets.map { $0.name } + ["checksum", "--list", "--help"])
        if !near.isEmpty { message += " Did you mean \(near.joined(separator: " or "))?" }
        Terminal.exit(2, message: message + " 'swift run tour --list' shows what there is.")
    }

    private static func list() {
        let width = snippets.map { $0.name.count }.max() ?? 0
        for snippet in snippets { print(row(snippet.name, snippet.summary)) }
        print(row("checksum", "how to run the larger example: sha256 sums of a directory tree"))

        func row(_ name: String, _ summary: String) -> String {
            name + String(repeating: " ", count: width - name.count + 2) + summary
        }
    }

    /// The hashing comes from swift-crypto, on which swift-csp itself is not to depend: the example is its own package.
    private static func checksumHint(directory: String?) -> String {
        "swift run -c release --package-path Examples checksum \(directory.map(shellQuoted) ?? "DIR")"
    }

    private static let help = """
        A tour of Go's concurrency in Swift.

        USAGE: swift run tour                  run every snippet
               swift run tour NAME ...         run those named
               swift run tour --list           list them
               swift run tour checksum DIR     tell how to run the larger example
               swift run tour --help           show this

        Each snippet is one short file in Sources/tour/Snippets.
        """
}
