import ArgumentParser
import CSP
import ChecksumPipeline

@main
struct ChecksumCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checksum",
        abstract: "Prints SHA-256 sums of all regular files in a directory tree, for 'sha256sum -c'.",
        discussion: """
            The sums come in the order of the paths' bytes. Symbolic links in the tree are not followed. On a terminal, \
            a progress bar is shown on standard error.

            Exit status: 0 when all files were hashed, 1 when one could not be read or a sum could not be written, \
            130 after Ctrl-C.
            """)

    @Argument(help: "The directory; a single file will do.")
    var directory: String

    @Option(name: [.short, .long], help: "How many files are hashed at once.")
    var jobs: Int = Scheduler.maxProcs

    @Flag(name: [.short, .long], help: "Go on after a file that cannot be read; the exit status is 1 all the same.")
    var keepGoing = false

    func validate() throws {
        guard (1...1024).contains(jobs) else { throw ValidationError("--jobs takes a number from 1 to 1024.") }
        guard !directory.isEmpty else { throw ValidationError("The name of the directory is empty.") }
    }

    func run() throws {
        let interrupt = Interrupt.watch()
        ignoreBrokenPipes()
        raiseOpenFileLimit()

        let root = BytePath(RawArguments.bytes(of: directory))
        let options = Checksum.Options(jobs: jobs, keepsGoing: keepGoing)
        let status = Goroutine.run("collect") {
            Self.exitStatus(of: Checksum(root, options: options), interrupt: interrupt)
        }
        if status != 0 { throw ExitCode(status) }
    }

    /// Runs it, and says on standard error what went wrong.
    private static func exitStatus(of checksum: Checksum, interrupt: Interrupt) -> Int32 {
        let console = Console()
        do {
            switch try checksum.run(console: console, interrupt: interrupt.channel) {
            case .finished(failures: 0):
                return 0
            case .finished(let failures):
                console.report("\(failures) \(failures == 1 ? "file or directory" : "files or directories") not read")
                return 1
            case .failed:
                return 1
            case .interrupted:
                console.report("interrupted")
                return interrupt.exitStatus
            }
        } catch {
            console.report("cannot write the sums: \(error)")
            return 1
        }
    }
}
