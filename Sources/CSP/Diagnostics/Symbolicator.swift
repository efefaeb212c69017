import CCSP
import Runtime

/// Names and places for return addresses, by the toolchain's `Runtime` module, which reads symbol tables and debug information. Each address is
/// looked up once.
package struct Symbolicator {
    // SAFETY: (whole type) the addresses live through the call.
    struct Frame {
        /// "Module.function(_:)"
        let name: String
        /// "/path/File.swift"; without debug information the program's or library's file, and no line.
        var file = ""
        var line = 0
        /// How far into the function it is; nothing where it was inlined.
        var offset: UInt?
        enum Owner {
            /// swift-csp's first functions on a stack, its others, Swift's standard library, anybody else.
            case base, runtime, library, user
        }
        var owner = Owner.user
        /// Made by the compiler to fit one calling convention to another.
        var isThunk = false

        /// "/path/File.swift:12 +0x1c"
        var place: String {
            let position = line > 0 ? "\(file):\(line)" : file
            guard let offset else { return position }
            return (position.isEmpty ? "" : position + " ") + "+" + Symbolicator.hexadecimal(offset)
        }
    }

    /// Nil when it could not be had: then there are names only.
    private lazy var images = Self.captureImages()
    private var known: [UInt: [Frame]]

    // What was looked up stays known to the process: who looks every second would spend seconds on it. Code is not moved, and hardly ever unloaded.
    private static let lock = OwnedLock()
    private static let lookUpLock = OwnedLock()
    // Guarded by the lock.
    nonisolated(unsafe) private static var shared: [UInt: [Frame]] = [:]
    /// Beyond so many all are forgotten.
    private static let mostShared = 100_000

    package init() {
        Self.lock.lock()
        defer { Self.lock.unlock() }
        known = unsafe Self.shared
    }

    /// Keeps what was found for those that come later.
    private func share(_ addresses: [UInt]) {
        Self.lock.lock()
        defer { Self.lock.unlock() }
        if unsafe Self.shared.count > Self.mostShared { unsafe Self.shared = [:] }
        for address in addresses { unsafe Self.shared[address] = known[address] }
    }

    /// The frames of each address, innermost first: several where calls were inlined.
    mutating func frames(at addresses: [UInt]) -> [[Frame]] {
        let unknown = Array(Set(addresses.filter { known[$0] == nil }))
        if unknown.isEmpty { return addresses.map { known[$0]! } }
        // Looking up is for one at a time: see csp_run_expendable.
        Self.lookUpLock.lock()
        defer { Self.lookUpLock.unlock() }
        var next = 0
        while next < unknown.count {
            let end = min(next + Int(CSP_TRACE_MOST), unknown.count)
            lookUp(Array(unknown[next..<end]))
            next = end
        }
        for address in unknown where known[address] == nil { known[address] = [Self.plainFrame(address)] }
        // Without images, all was looked up in vain.
        if images != nil { share(unknown) }
        return addresses.map { known[$0]! }
    }

    /// The libraries in this process. `ImageMap.capture` reads the memory behind every line of /proc/self/maps, which other threads may have
    /// unmapped by then: found by the stress test.
    private static func captureImages() -> ImageMap? {
        final class Result { var images: ImageMap? }
        for _ in 0..<5 {
            let result = Result()
            // Kept until it is known that the thread is done with it; a thread that faulted never lets go.
            let raw = unsafe Unmanaged.passRetained(result)
            let isDone = unsafe csp_run_expendable(
                { unsafe Unmanaged<Result>.fromOpaque($0!).takeUnretainedValue().images = ImageMap.capture() },
                unsafe raw.toOpaque())
            guard isDone else { continue }
            unsafe raw.release()
            return result.images
        }
        return nil
    }

    /// So that looking these up later takes no time.
    package mutating func learn(_ addresses: [UInt]) { _ = frames(at: addresses) }

    private mutating func lookUp(_ addresses: [UInt]) {
        guard let images else { return }
        var rest = addresses
        while !rest.isEmpty {
            guard let backtrace = Self.backtrace(rest, images) else { return }
            let wanted = Set(rest)
            var seen: Set<UInt> = []
            for frame in backtrace.symbolicated(with: images)?.frames ?? [] {
                guard case .returnAddress(let value) = frame.captured, let address = UInt(value),
                    wanted.contains(address)
                else { continue }
                seen.insert(address)
                guard let symbol = frame.symbol else { continue }
                known[address, default: []].append(Frame(symbol, isInlined: frame.inlined))
            }
            // An async function's frame ends the chain: those behind it come in the next one.
            let unseen = rest.filter { !seen.contains($0) }
            rest = unseen.count < rest.count ? unseen : Array(rest.dropFirst())
        }
    }

    /// `Backtrace` has no initialiser that takes addresses: it is made to find them as its callers. Nil when it stumbles over one of them.
    private static func backtrace(_ addresses: [UInt], _ images: ImageMap) -> Backtrace? {
        final class Capture {
            let addresses: [UInt]
            let images: ImageMap
            var backtrace: Backtrace?
            init(_ addresses: [UInt], _ images: ImageMap) { (self.addresses, self.images) = (addresses, images) }
        }
        let capture = Capture(addresses, images)
        // As in captureImages.
        let raw = unsafe Unmanaged.passRetained(capture)
        let isDone = unsafe csp_run_expendable(
            { argument in
                let capture = unsafe Unmanaged<Capture>.fromOpaque(argument!).takeUnretainedValue()
                unsafe capture.addresses.withUnsafeBufferPointer { buffer in
                    unsafe csp_with_frames(
                        buffer.baseAddress, UInt32(buffer.count),
                        { argument in
                            let capture = unsafe Unmanaged<Capture>.fromOpaque(argument!).takeUnretainedValue()
                            capture.backtrace = try? Backtrace.capture(
                                algorithm: .fast, limit: nil, images: capture.images)
                        }, argument)
                }
            }, unsafe raw.toOpaque())
        guard isDone else { return nil }
        unsafe raw.release()
        return capture.backtrace
    }

    /// The frames of a stack without the runtime's own at either end, but with the operation that the user's code called.
    mutating func shownFrames(_ trace: [UInt], omitted: Int) -> [(frame: Frame, address: UInt)] {
        let found = frames(at: trace)
        var shown: [(frame: Frame, address: UInt)] = []
        for (index, several) in found.enumerated() {
            if index == Int(CSP_TRACE_FIRST), omitted > 0 {
                shown.append((Frame(name: "...\(omitted) frames omitted..."), 0))
            }
            shown += several.filter { !$0.isThunk }.map { ($0, trace[index]) }
        }
        // Where the optimiser has made a tail call of it, none of the user's code is there.
        while shown.last?.frame.owner == .base { shown.removeLast() }
        let end = shown.lastIndex { $0.frame.owner == .user }.map { $0 + 1 } ?? shown.count
        let leading = shown[..<end].prefix { $0.frame.owner != .user }
        return Array(shown[(leading.lastIndex { $0.frame.owner == .runtime } ?? 0)..<end])
    }

    /// From the symbol table alone.
    static func plainFrame(_ address: UInt) -> Frame {
        var offset: UInt = 0
        let name = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer -> String? in
            let found = unsafe csp_symbol_name(
                UnsafeRawPointer(bitPattern: address), buffer.baseAddress, buffer.count, &offset)
            return found ? unsafe String(cString: buffer.baseAddress!) : nil
        }
        guard let name else {
            return Frame(name: "unknown function", file: hexadecimal(address))
        }
        return Frame(
            name: name, offset: offset, owner: name.hasPrefix("CSP.") || name.hasPrefix("csp_") ? .runtime : .user)
    }

    static func hexadecimal(_ number: some BinaryInteger) -> String { "0x" + String(number, radix: 16) }
}

extension Symbolicator.Frame {
    init(_ symbol: SymbolicatedBacktrace.Symbol, isInlined: Bool) {
        let module = Self.module(ofMangled: symbol.rawName)
        // Generic arguments are not there: "Channel<>".
        let plain = symbol.name.split(separator: "<>", omittingEmptySubsequences: false).joined()
        name = module.map { Self.qualify(plain, with: $0) } ?? plain
        offset = isInlined ? nil : UInt(bitPattern: symbol.offset)
        if let location = symbol.sourceLocation, location.line > 0 {
            file = location.path
            line = location.line
        } else {
            file = symbol.imageName
        }
        let isOurs = module == "CSP" || symbol.rawName.hasPrefix("csp_")
        let isFirst = isOurs && Self.first.contains { symbol.name.contains($0) }
        owner = isFirst ? .base : isOurs ? .runtime : module == "Swift" ? .library : .user
        isThunk = symbol.isSwiftThunk
    }

    /// The module that a Swift symbol is of: the first identifier after "$s", a length and so many characters.
    private static func module(ofMangled name: String) -> String? {
        guard name.hasPrefix("$s") || name.hasPrefix("$S") else { return nil }
        let rest = name.dropFirst(2)
        let digits = rest.prefix { $0.isNumber }
        guard let length = Int(digits), length > 0 else {
            return rest.hasPrefix("s") || rest.hasPrefix("S") ? "Swift" : nil
        }
        return String(rest.dropFirst(digits.count).prefix(length))
    }

    fileprivate static let first = ["csp_goroutine_entry", "goroutineMain", "SchedulerCore.boot", "GoroutineRef.run"]
    private static let notNames: Set<Substring> = [
        "specialized", "static", "@objc", "merged", "partial", "apply", "for", "variable", "initialization",
        "expression", "of",
    ]

    /// "closure #1 in work()" becomes "closure #1 in Module.work()".
    private static func qualify(_ name: String, with module: String) -> String {
        let words = name.split(separator: " ", omittingEmptySubsequences: false)
        var first = words.lastIndex(of: "in").map { $0 + 1 } ?? 0
        while first < words.count, notNames.contains(words[first]) { first += 1 }
        let function = words[first...].joined(separator: " ")
        let prefix = words[..<first].map { $0 + " " }.joined()
        return prefix + (function.isEmpty ? module : module + "." + function)
    }
}
