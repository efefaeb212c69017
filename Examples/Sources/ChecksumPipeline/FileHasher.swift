import CSP
import Crypto

/// What became of one file.
enum Outcome: Sendable {
    /// A SHA-256 digest.
    case digest([UInt8])
    case failure(SystemError)
    /// Not hashed to the end: the pipeline is being stopped.
    case abandoned
}

/// Hashes one file after the other, in the same buffer: memory does not grow with the files.
struct FileHasher {
    /// On the heap: a goroutine's stack has room for a quarter of it.
    private var buffer = [UInt8](repeating: 0, count: 1 << 20)

    /// Looks at `stop` before each read, so that it ends within one read of its being closed.
    mutating func hash(_ file: FoundFile, progress: Progress, stop: Channel<Never>) -> Outcome {
        do throws(SystemError) {
            let input = try InputFile.open(file.name, in: file.directory)
            var hash = SHA256()
            while true {
                guard !isClosed(stop) else { return .abandoned }
                let count = try input.read(into: &buffer)
                if count == 0 { break }
                hash.update(data: buffer[..<count])
                progress.bytesHashed.add(Int64(count))
            }
            progress.filesHashed.add(1)
            return .digest(Array(hash.finalize()))
        } catch {
            return .failure(error)
        }
    }
}

/// A channel that nothing is ever sent on says only one thing, and this asks for it without waiting.
func isClosed(_ channel: Channel<Never>) -> Bool {
    switch channel.tryReceive() {
    case .closed: true
    case .empty: false
    }
}
