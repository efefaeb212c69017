import CCSP

/// Writes `message` and ends the process by a trap, so that debuggers and Swift's backtracer see where. The fault handler adds
/// which goroutine it was and who created it.
@usableFromInline @inline(never)
func fatal(_ message: String) -> Never {
    printError(message + "\n")
    csp_trap()
}

/// Writes to stderr at once.
func printError(_ text: String) {
    // SAFETY: the text lives through the call.
    var text = text
    text.withUTF8 { unsafe $0.withMemoryRebound(to: CChar.self) { unsafe csp_write_error($0.baseAddress!, $0.count) } }
}

/// What the fault handler prints about a goroutine, before or after its stack. Runs in a signal handler: no allocation, no locks.
func describeForFault(
    _ raw: UnsafeMutableRawPointer?, _ part: csp_description, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int {
    // SAFETY: reads immortal blocks and writes within the buffer's capacity.
    guard let goroutine = unsafe GoroutineRef(raw), let buffer = unsafe buffer else { return 0 }
    var text = unsafe FixedText(buffer, capacity)
    if part == CSP_HEADING { describe(goroutine, &text) } else { describeCreator(of: goroutine, &text) }
    return text.count
}

private func describe(_ goroutine: GoroutineRef, _ text: inout FixedText) {
    text.append("\ngoroutine ")
    text.append(goroutine.cell.id)
    if let name = goroutine.cell.name {
        text.append(" \"")
        text.append(name)
        text.append("\"")
    }
    text.append(" [running]:\n")
}

private func describeCreator(of goroutine: GoroutineRef, _ text: inout FixedText) {
    // SAFETY: the name goes into what is left of the buffer.
    text.append("created by ")
    let address = unsafe goroutine.cell.creatorAddress
    if unsafe !text.appendTerminated({ unsafe address != nil && csp_symbol_name(address, $0, $1, nil) }) {
        text.append("unknown")
    }
    if goroutine.cell.creatorID != 0 {
        text.append(" in goroutine ")
        text.append(goroutine.cell.creatorID)
    } else {
        text.append(" in a thread outside")
    }
    text.append("\n")
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

    /// Has C code write a terminated string into what is left.
    mutating func appendTerminated(_ body: (UnsafeMutablePointer<CChar>, Int) -> Bool) -> Bool {
        guard unsafe body(bytes + count, capacity - count) else { return false }
        while count < capacity, unsafe bytes[count] != 0 { count += 1 }
        return true
    }
}
