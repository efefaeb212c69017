/// Every regular file below a path, in the order of the paths' bytes: that of `LC_ALL=C sort`.
///
/// Symbolic links are not followed, except for the path itself; sockets, pipes and devices are passed over. What cannot be
/// read comes up in its place as a failure, and the walk goes on behind it. Memory is taken for the names in the directories
/// from the root down to where the walk is, and no stack, however deep the tree.
struct TreeWalk: Sequence, IteratorProtocol {
    enum Step: Sendable {
        case file(FoundFile)
        case failure(FileFailure)

        var path: BytePath {
            switch self {
            case .file(let file): file.path
            case .failure(let failure): failure.path
            }
        }
    }

    /// A directory that the walk is in.
    private struct Level {
        let directory: Directory
        let path: BytePath
        /// The last one is next.
        var remaining: [Directory.Entry]
    }

    private var root: BytePath?
    private var levels: [Level] = []

    init(_ root: BytePath) {
        self.root = root
    }

    mutating func next() -> Step? {
        if let root {
            self.root = nil
            if let step = visit(root.bytes, in: nil, path: root, kind: nil) { return step }
        }
        while !levels.isEmpty {
            let last = levels.count - 1
            guard let entry = levels[last].remaining.popLast() else {
                levels.removeLast()
                continue
            }
            let path = levels[last].path.appending(entry.name)
            if let step = visit(entry.name, in: levels[last].directory, path: path, kind: entry.kind) { return step }
        }
        return nil
    }

    /// A step for the caller; nil for a directory, whose entries now come next, and for what is passed over.
    private mutating func visit(_ name: [UInt8], in parent: Directory?, path: BytePath, kind: FileKind?) -> Step? {
        do throws(SystemError) {
            let kind = if let kind { kind } else { try status(of: name, in: parent).kind }
            switch kind {
            case .regular:
                return .file(FoundFile(directory: parent, name: name, path: path))
            case .directory:
                let directory = try Directory(opening: name, in: parent)
                levels.append(Level(directory: directory, path: path, remaining: try Self.sortedEntries(of: directory)))
                return nil
            case .other where parent == nil:
                throw .notRegular
            case .other:
                return nil
            }
        } catch {
            return .failure(FileFailure(path: path, error: error))
        }
    }

    /// The last comes first. A directory counts as if its name ended with the slash that its files' paths have there:
    /// "a-b" is before "a/c", and so must come before the directory "a".
    private static func sortedEntries(of directory: Directory) throws(SystemError) -> [Directory.Entry] {
        let keyed = try directory.entries().map { entry in
            // Should this fail here, `visit` will try again, and report it.
            let kind = entry.kind ?? (try? status(of: entry.name, in: directory).kind)
            let key = kind == .directory ? entry.name + [slash] : entry.name
            return (entry: Directory.Entry(name: entry.name, kind: kind), key: key)
        }
        return keyed.sorted { $1.key.lexicographicallyPrecedes($0.key) }.map { $0.entry }
    }
}

/// A file that was there when the walk came by.
struct FoundFile: Sendable {
    /// Where to look for `name`; nil for the path that the user gave.
    let directory: Directory?
    let name: [UInt8]
    /// For the user's eyes: it may be too long to be opened.
    let path: BytePath
}

/// A file or directory that could not be read, and why.
package struct FileFailure: Error, Equatable, CustomStringConvertible {
    package let path: BytePath
    package let error: SystemError

    package var description: String { "\(path): \(error)" }
}
