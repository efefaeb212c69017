import CSP

// What goes over a connection in one direction: frames of several writers, each numbered on its own. All of a frame follows from the direction's key, the
// writer and the number, so the reader knows every byte beforehand: none can be lost, doubled, or come from elsewhere without being seen.

struct Frame {
    let head: [UInt8]
    let body: [UInt8]

    /// Key, writer, number, and how long the body is.
    static let headSize = 20

    init(key: UInt64, writer: Int, number: Int) {
        var random = SplitMix64(seed: key ^ UInt64(writer) << 56 ^ UInt64(number) << 32)
        let size: Int
        switch random.below(100) {
        case 0: size = random.below(400_000)
        case 1..<20: size = random.below(20_000)
        default: size = random.below(300)
        }
        head =
            Self.bytes(key, 8) + Self.bytes(UInt64(writer), 4) + Self.bytes(UInt64(number), 4)
            + Self.bytes(UInt64(size), 4)
        // The memory of all empty arrays is one, and its count would be written here: a race, to the race detector.
        if size == 0 {
            body = []
            return
        }
        // SAFETY: the words are written within the buffer, and bytes have no alignment.
        body = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            while count + 8 <= size {
                unsafe raw.storeBytes(of: random.next(), toByteOffset: count, as: UInt64.self)
                count += 8
            }
            while count < size {
                unsafe raw[count] = UInt8(truncatingIfNeeded: random.next())
                count += 1
            }
        }
    }

    private static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
}

/// Compares what comes with what must come.
struct FrameReader {
    private let key: UInt64
    /// The number of each writer's next frame.
    private var next: [Int]
    /// What does not make a frame yet.
    private var rest: [UInt8] = []
    private(set) var frames = 0
    private(set) var bytes = 0

    init(key: UInt64, writers: Int) {
        self.key = key
        next = Array(repeating: 0, count: writers)
    }

    /// Whether no frame has begun that did not end.
    var isBetweenFrames: Bool { rest.isEmpty }

    /// What is wrong with the bytes that have come, if anything.
    mutating func take(_ some: ArraySlice<UInt8>) -> String? {
        bytes += some.count
        rest += some
        var offset = 0
        defer { rest.removeFirst(offset) }
        while rest.count - offset >= Frame.headSize {
            let writer = number(at: offset + 8, 4)
            guard number(at: offset, 8) == key, writer < UInt64(next.count) else {
                return
                    "at byte \(bytes - rest.count + offset): no frame of this stream, but \(rest[offset...].prefix(Frame.headSize))"
            }
            // Looked at only once it is all there: to make one is the most work here.
            let size = Frame.headSize + Int(number(at: offset + 16, 4))
            if rest.count - offset < size && size < 500_000 { return nil }
            let wanted = Frame(key: key, writer: Int(writer), number: next[Int(writer)])
            guard rest[offset...].starts(with: wanted.head),
                rest[(offset + Frame.headSize)...].starts(with: wanted.body)
            else { return "frame \(next[Int(writer)]) of writer \(writer) is not as it was written" }
            offset += wanted.head.count + wanted.body.count
            next[Int(writer)] += 1
            frames += 1
        }
        return nil
    }

    /// At an end that came too early: what is wrong with the part of a frame that has come.
    func checkRest() -> String? {
        guard rest.count >= Frame.headSize else { return nil }
        let writer = Int(number(at: 8, 4))
        let wanted = Frame(key: key, writer: writer, number: next[writer])
        return (wanted.head + wanted.body).starts(with: rest)
            ? nil : "the beginning of a frame is not as it was written"
    }

    private func number(at offset: Int, _ count: Int) -> UInt64 {
        // No closure, no generic function: without the optimizer each asks for types, and all that run at once queue up for the lock there.
        var value: UInt64 = 0
        var index = count
        while index > 0 {
            index -= 1
            value = value << 8 | UInt64(rest[offset + index])
        }
        return value
    }
}
