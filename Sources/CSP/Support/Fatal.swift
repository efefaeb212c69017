import CCSP

/// Writes `message` and ends the process by a trap, so that debuggers and Swift's backtracer see where. The fault handler adds
/// which goroutine it was and who created it.
@usableFromInline @inline(never)
func fatal(_ message: String) -> Never {
    // SAFETY: reads immortal blocks and writes within the buffer's capacity.
    var text = message + "\n"
    text.withUTF8 { unsafe $0.withMemoryRebound(to: CChar.self) { unsafe csp_write_error($0.baseAddress!, $0.count) } }
    csp_trap()
}

/// What the fault handler prints about a goroutine. Runs in a signal handler: no allocation, no locks.
func describeForFault(_ raw: UnsafeMutableRawPointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int {
    // SAFETY: reads immortal blocks and writes within the buffer's capacity.
    guard let goroutine = unsafe GoroutineRef(raw), let buffer = unsafe buffer else { return 0 }
    var line = unsafe FixedText(buffer, capacity)
    line.append("\ngoroutine ")
    line.append(goroutine.cell.id)
    if let name = goroutine.cell.name {
        line.append(" \"")
        line.append(name)
        line.append("\"")
    }
    line.append(" [running]:\n")
    let start = line.count
    line.append("created by ")
    // SAFETY: the name goes into what is left of the buffer.
    if let address = unsafe goroutine.cell.creatorAddress,
        unsafe csp_symbol_name(address, buffer + line.count, capacity - line.count)
    {
        line.skipToEnd()
    } else {
        line.append("unknown")
    }
    if goroutine.cell.creatorID != 0 {
        line.append(" in goroutine ")
        line.append(goroutine.cell.creatorID)
    } else {
        line.append(" in a thread outside")
    }
    line.append("\n")
    _ = start
    return line.count
}

/// Text in memory of a fixed size; what does not fit is cut.
@safe
struct FixedText {
    private let bytes: UnsafeMutablePointer<CChar>
    private let capacity: Int
    private(set) var count = 0

    // SAFETY: (whole type) all writes are checked against capacity.
    init(_ bytes: UnsafeMutablePointer<CChar>, _ capacity: Int) {
        unsafe self.bytes = unsafe bytes
        self.capacity = capacity
    }

    mutating func append(_ byte: UInt8) {
        guard count < capacity else { return }
        unsafe bytes[count] = CChar(bitPattern: byte)
        count += 1
    }

    mutating func append(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { append(unsafe text.utf8Start[index]) }
    }

    mutating func append(_ text: String) { for byte in text.utf8 { append(byte) } }

    mutating func append(_ number: UInt64) {
        if number >= 10 { append(number / 10) }
        append(UInt8(ascii: "0") + UInt8(number % 10))
    }

    /// After C code has written a terminated string at the end.
    mutating func skipToEnd() { while count < capacity, unsafe bytes[count] != 0 { count += 1 } }
}
