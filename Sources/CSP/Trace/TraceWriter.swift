import CCSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes events in the JSON that Chrome's trace viewer and Perfetto read ("Trace Event Format"): a track for each processor, for each goroutine and for
/// each worker's thread, and an arrow from whoever has made a goroutine ready to where it goes on.
///
/// The file has the events in the order in which they came in, which the viewers do not mind.
struct TraceWriter: ~Copyable {
    private let file: Int32
    private let began: Int64
    private var buffer: [UInt8] = []
    /// Of the first write that failed; the rest is not tried.
    private(set) var error: Int32 = 0
    private var isFirst = true
    var names: TraceNames
    private var symbolicator: Symbolicator?
    /// What goroutines that were made at an address are called.
    private var places: [UInt64: String] = [:]
    private var knownTracks: Set<UInt64> = []
    private var processors: Set<Int> = []
    private var workers: Set<UInt32> = []

    private enum Track: Int {
        case processors = 1
        case goroutines, workers
    }
    private static let flushSize = 1 << 16
    /// Tracks with names of their own; further goroutines go by their numbers.
    private static let mostTracks = 200_000

    init(_ file: Int32, began: Int64, names: TraceNames = TraceNames(), canLookUp: Bool = true) {
        self.file = file
        self.began = began
        self.names = names
        if canLookUp { symbolicator = Symbolicator() }
        buffer.reserveCapacity(Self.flushSize * 2)
        text("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")
        for (track, name) in [(Track.processors, "Processors"), (.goroutines, "Goroutines"), (.workers, "Threads")] {
            nameTrack(track, nil, name)
            open("M", "process_sort_index", track)
            text(",\"args\":{\"sort_index\":")
            number(UInt64(track.rawValue))
            text("}}")
        }
    }

    // MARK: Events

    mutating func write(_ event: TraceEvent) {
        switch event.kind {
        case .ran: writeRun(event, on: [.processors, .goroutines])
        case .lost, .regained: writeRun(event, on: [.processors])
        case .runs: writeRun(event, on: [.processors, .goroutines])
        case .waited: slice(event, .goroutines, event.reason.description)
        case .wasRunnable: writeRunnable(event)
        case .made:
            instant(event, event.other == 0 ? nil : (.goroutines, event.other), "go")
            text(",\"args\":{\"goroutine\":")
            number(event.goroutine)
            text("}}")
        case .slept: slice(event, .workers, "asleep")
        case .woke, .stole, .handedOff, .fired, .polled: writeInstant(event)
        case .region: writeMark(event, "region")
        case .taskBegan, .taskEnded: writeTask(event)
        case .logged:
            instant(event, (.goroutines, event.goroutine), name(event.other))
            text("}")
        }
        if buffer.count >= Self.flushSize { flush() }
    }

    private mutating func writeRun(_ event: TraceEvent, on tracks: [Track]) {
        let label = label(of: event.goroutine, madeAt: event.other)
        nameGoroutine(event.goroutine, label)
        for track in tracks {
            let id = track == .processors ? UInt64(max(0, event.processor)) : event.goroutine
            if track == .processors {
                guard event.processor >= 0 else { continue }
                if processors.insert(Int(id)).inserted { nameTrack(.processors, id, "P \(id)") }
            }
            open("X", track == .processors ? label : "running", track, id)
            span(event)
            text(",\"args\":{\"goroutine\":")
            number(event.goroutine)
            text(",\"thread\":")
            number(UInt64(event.worker))
            text(",\"then\":")
            quoted(end(of: event))
            text("}}")
        }
        if event.kind == .ran, event.reason == .none { names.goroutines[event.goroutine] = nil }
    }

    /// Why it left the processor.
    private func end(of event: TraceEvent) -> String {
        switch (event.kind, event.reason) {
        case (.lost, _): "handed off"
        case (.runs, _): "still running"
        case (_, .none): "end"
        case (_, .yield): "yield"
        default: event.reason.description
        }
    }

    private mutating func writeRunnable(_ event: TraceEvent) {
        slice(event, .goroutines, "runnable")
        arrow(event.goroutine, from: (event.other, event.start), to: event.end)
    }

    /// From who has made `goroutine` ready, if that was a goroutine, to where it goes on.
    private mutating func arrow(_ goroutine: UInt64, from: (goroutine: UInt64, time: Int64), to end: Int64) {
        guard from.goroutine != 0 else { return }
        let id = goroutine << 20 ^ UInt64(bitPattern: from.time)
        open("s", "ready", .goroutines, from.goroutine)
        text(",\"cat\":\"ready\",\"id\":")
        number(id)
        time(from.time)
        text("}")
        open("f", "ready", .goroutines, goroutine)
        text(",\"cat\":\"ready\",\"bp\":\"e\",\"id\":")
        number(id)
        time(end)
        text("}")
    }

    private mutating func writeInstant(_ event: TraceEvent) {
        let name: StaticString =
            switch event.kind {
            case .woke: "wake"
            case .stole: "steal"
            case .handedOff: "hand-off"
            case .fired: "timers"
            default: "poll"
            }
        let track: (Track, UInt64) =
            event.processor >= 0 ? (.processors, UInt64(event.processor)) : (.workers, UInt64(event.worker))
        nameWorker(event.worker)
        instant(event, track, "\(name)")
        text(",\"args\":{\"count\":")
        number(event.other)
        text("}}")
    }

    /// What users mark may begin and end anywhere within what the scheduler tells: it has tracks of its own, beside the goroutine's.
    private mutating func writeMark(_ event: TraceEvent, _ category: StaticString) {
        let name = name(event.other)
        for (phase, at) in [("b", event.start), ("e", event.end)] {
            open(phase, name, .goroutines, event.goroutine)
            text(",\"cat\":\"")
            text(category)
            // Of one goroutine or thread no two begin at the same time.
            text("\",\"id\":")
            number(UInt64(bitPattern: event.start) ^ event.goroutine << 40 ^ UInt64(event.worker) << 24)
            time(at)
            text("}")
        }
    }

    private mutating func writeTask(_ event: TraceEvent) {
        open(event.kind == .taskBegan ? "b" : "e", name(event.other), .goroutines, event.goroutine)
        text(",\"cat\":\"task\",\"id\":")
        number(UInt64(bitPattern: event.end))
        time(event.start)
        text("}")
    }

    // MARK: Names

    private func name(_ place: UInt64) -> String { place < UInt64(names.texts.count) ? names.texts[Int(place)] : "?" }

    /// "12 name", or after where it was made.
    private mutating func label(of goroutine: UInt64, madeAt address: UInt64) -> String {
        "G\(goroutine) " + (names.goroutines[goroutine] ?? place(address))
    }

    private mutating func place(_ address: UInt64) -> String {
        if let known = places[address] { return known }
        var found = ""
        if address != 0, symbolicator == nil {
            found = Symbolicator.plainFrame(UInt(address)).name
        } else if address != 0 {
            let frame = symbolicator!.frames(at: [UInt(address)])[0].first { !$0.isThunk }
            if let frame {
                let file = frame.file.split(separator: "/").last.map(String.init) ?? ""
                found = frame.line > 0 ? "\(frame.name) \(file):\(frame.line)" : frame.name
            }
        }
        places[address] = found
        return found
    }

    private mutating func nameGoroutine(_ id: UInt64, _ label: String) {
        guard knownTracks.count < Self.mostTracks, knownTracks.insert(id).inserted else { return }
        nameTrack(.goroutines, id, label)
    }

    private mutating func nameWorker(_ number: UInt32) {
        if workers.insert(number).inserted {
            nameTrack(.workers, UInt64(number), number == 0 ? "other threads" : "M \(number)")
        }
    }

    private mutating func nameTrack(_ track: Track, _ id: UInt64?, _ name: String) {
        open("M", id == nil ? "process_name" : "thread_name", track, id)
        text(",\"args\":{\"name\":")
        quoted(name)
        text("}}")
    }

    // MARK: JSON

    private mutating func slice(_ event: TraceEvent, _ track: Track, _ name: String) {
        if track == .workers { nameWorker(event.worker) }
        open("X", name, track, track == .workers ? UInt64(event.worker) : event.goroutine)
        span(event)
        text("}")
    }

    /// An event without an end, which is left open for arguments.
    private mutating func instant(_ event: TraceEvent, _ track: (Track, UInt64)?, _ name: String) {
        let (track, id) = track ?? (.workers, UInt64(event.worker))
        open("i", name, track, id)
        text(",\"s\":\"t\"")
        time(event.start)
    }

    /// Begins an event, which is left open.
    private mutating func open(_ phase: String, _ name: String, _ track: Track, _ id: UInt64? = nil) {
        if !isFirst { text(",\n") }
        isFirst = false
        text("{\"ph\":\"")
        buffer.append(contentsOf: phase.utf8)
        text("\",\"name\":")
        quoted(name)
        text(",\"pid\":")
        number(UInt64(track.rawValue))
        if let id {
            text(",\"tid\":")
            number(id)
        }
    }

    private mutating func span(_ event: TraceEvent) {
        time(event.start)
        text(",\"dur\":")
        microseconds(event.end - event.start)
    }

    private mutating func time(_ time: Int64) {
        text(",\"ts\":")
        microseconds(time - began)
    }

    /// With three digits after the point.
    private mutating func microseconds(_ nanoseconds: Int64) {
        let value = UInt64(max(0, nanoseconds))
        number(value / 1000)
        buffer.append(UInt8(ascii: "."))
        let rest = value % 1000
        for digit in [rest / 100, rest / 10 % 10, rest % 10] { buffer.append(UInt8(ascii: "0") + UInt8(digit)) }
    }

    private mutating func number(_ value: UInt64) {
        if value >= 10 { number(value / 10) }
        buffer.append(UInt8(ascii: "0") + UInt8(value % 10))
    }

    private mutating func quoted(_ string: String) {
        buffer.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                buffer.append(UInt8(ascii: "\\"))
                buffer.append(byte)
            case 0..<32:
                let digits = String(byte, radix: 16)
                buffer.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: buffer.append(byte)
            }
        }
        buffer.append(UInt8(ascii: "\""))
    }

    private mutating func text(_ text: StaticString) {
        // SAFETY: within the text.
        unsafe buffer.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    // MARK: The file

    mutating func flush() {
        if error == 0 { error = writeFully(buffer, to: file) }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Completes the file, with a word on what is missing.
    mutating func finish(lost: Int) {
        text("\n],\"metadata\":{\"lostEvents\":")
        number(UInt64(lost))
        text("}}\n")
        flush()
    }
}

/// 0 or an errno.
private func writeFully(_ bytes: [UInt8], to file: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
        // SAFETY: the array lives through the call.
        let written = unsafe rest.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
        if written >= 0 {
            rest = rest.dropFirst(written)
        } else if errno != EINTR {
            return errno
        }
    }
    return 0
}
