import CSP
import CSPNet
import SystemPackage

/// What all rounds have come to.
final class Counts: Sendable {
    let connections = SharedAtomic(0), complete = SharedAtomic(0), broken = SharedAtomic(0), stillborn = SharedAtomic(0)
    let bytes = SharedAtomic(0), frames = SharedAtomic(0), endedWaits = SharedAtomic(0)
    let failedDials = SharedAtomic(0), endedDials = SharedAtomic(0)
    let exhaustedDials = SharedAtomic(0), exhaustedAccepts = SharedAtomic(0), exhaustedOthers = SharedAtomic(0)

    var line: String {
        "connections \(connections.load()) complete \(complete.load()) broken \(broken.load()) stillborn \(stillborn.load())"
            + " frames \(frames.load()) bytes \(bytes.load()) ended-waits \(endedWaits.load())"
            + " failed-dials \(failedDials.load()) ended-dials \(endedDials.load()) exhausted-dials \(exhaustedDials.load())"
            + " exhausted-accepts \(exhaustedAccepts.load()) exhausted-others \(exhaustedOthers.load())"
    }
}

/// One end of a connection, at work.
final class End: Sendable {
    private let connection: any Connected
    private let mine: EndPlan
    private let theirs: EndPlan
    /// The keys of what goes out and what comes in.
    private let keys: (out: UInt64, in: UInt64)
    private let counts: Counts
    /// Something other than the peer may end it: the listener's end, or that of those who serve.
    private let isRough: Bool
    private let hasFailed = SharedAtomic(0)

    init(_ connection: any Connected, _ transfer: Transfer, isServer: Bool, isRough: Bool, _ counts: Counts) {
        self.connection = connection
        mine = isServer ? transfer.server : transfer.client
        theirs = isServer ? transfer.client : transfer.server
        keys = isServer ? (transfer.key, ~transfer.key) : (~transfer.key, transfer.key)
        self.counts = counts
        self.isRough = isRough
    }

    /// Reads and writes all that is planned, or until something ends it. Everything of it has ended when this returns.
    func run(_ random: inout SplitMix64) {
        let others = WaitGroup()
        startViolence(others)
        startWriters(others, &random)
        readAll(&random)
        if hasFailed.load() != 0 { connection.close() }
        others.wait()
        if random.chance(90) { connection.close() }
        (hasFailed.load() == 0 ? counts.complete : counts.broken).add(1)
    }

    private func startViolence(_ others: WaitGroup) {
        guard case .close(let after, let reset) = mine.violence else { return }
        others.go("breaker") { [self] in
            Time.sleep(for: after)
            breakOff(reset: reset)
        }
    }

    private func breakOff(reset: Bool) {
        hasFailed.store(1)
        if reset { connection.reset() } else { connection.close() }
    }

    // MARK: Writing

    private func startWriters(_ others: WaitGroup, _ random: inout SplitMix64) {
        var context: Context?, cancel: CancelFunction?
        switch mine.writeLimit {
        case .none: break
        case .deadline(let after): connection.setWriteDeadline(Time.now.advanced(by: after))
        case .context(let after):
            let (limited, end) = Context.background.withTimeout(after)
            context = limited
            cancel = end
        }
        let left = SharedAtomic(mine.frames.count)
        for writer in mine.frames.indices {
            let seed = random.next()
            others.go("writer") { [self, context, cancel] in
                var random = SplitMix64(seed: seed)
                do throws(NetError) {
                    try write(writer, context, &random)
                    if left.add(-1) == 0 {
                        cancel?()
                        try connection.closeWriting()
                    }
                } catch {
                    cancel?()
                    hasFailed.store(1)
                    judge(error, isWrite: true)
                    connection.close()
                }
            }
        }
    }

    private func write(_ writer: Int, _ context: Context?, _ random: inout SplitMix64) throws(NetError) {
        for number in 0..<mine.frames[writer] {
            // Behind a frame that was written in part nothing makes sense.
            if hasFailed.load() != 0 { return }
            let frame = Frame(key: keys.out, writer: writer, number: number)
            if random.chance(50) {
                try connection.write([frame.head, [], frame.body], in: context)
            } else {
                try connection.write(frame.head + frame.body, in: context)
            }
            if random.chance(12) { Goroutine.yield() }
        }
    }

    // MARK: Reading

    private func readAll(_ random: inout SplitMix64) {
        var reader = FrameReader(key: keys.in, writers: theirs.frames.count)
        var buffer = [UInt8](repeating: 0, count: 1 + random.below(random.chance(50) ? 200 : 70_000))
        var hasStalled = false, hasEnded = false
        do throws(NetError) {
            while !hasEnded {
                if let stall = mine.stall, !hasStalled, reader.frames >= stall.frame {
                    hasStalled = true
                    Time.sleep(for: stall.length)
                }
                switch mine.violence {
                case .closeAtFrame(let frame, let reset) where reader.frames >= frame: return breakOff(reset: reset)
                case .closeReadingAtFrame(let frame) where reader.frames >= frame: return try connection.closeReading()
                default: break
                }
                let some = try readSome(&buffer, &random)
                hasEnded = some == 0
                if let wrong = reader.take(buffer[..<some]) { fail("\(self): \(wrong)") }
            }
        } catch {
            hasFailed.store(1)
            judge(error, isWrite: false)
        }
        counts.bytes.add(reader.bytes)
        counts.frames.add(reader.frames)
        let planned = theirs.frames.reduce(0, +)
        if reader.frames == planned, reader.isBetweenFrames { return }
        if !isRough, !mine.isViolent, !theirs.isViolent {
            fail("\(self): ends after \(reader.frames) of \(planned) frames")
        }
        if let wrong = reader.checkRest() { fail("\(self): \(wrong)") }
        hasFailed.store(1)
    }

    /// Reads what there is, however often the wait for it is ended.
    private func readSome(_ buffer: inout [UInt8], _ random: inout SplitMix64) throws(NetError) -> Int {
        // Longer and longer, so that even a slow machine gets on; but nothing that this leaves behind sleeps for long.
        var patience = 1 + random.below(300)
        while true {
            let time = Duration.microseconds(patience)
            patience = min(2 * patience, 50_000)
            do throws(NetError) {
                switch mine.reading {
                case .plain: return try connection.read(into: &buffer, in: nil)
                case .deadlines:
                    connection.setReadDeadline(Time.now.advanced(by: time))
                    defer { connection.setReadDeadline(nil) }
                    return try connection.read(into: &buffer, in: nil)
                case .contexts:
                    let (context, cancel) = Context.background.withTimeout(time)
                    defer { cancel() }
                    return try connection.read(into: &buffer, in: context)
                case .cancellations:
                    let (context, cancel) = Context.background.withCancel()
                    defer { cancel() }
                    go("canceler") {
                        Time.sleep(for: time)
                        cancel()
                    }
                    return try connection.read(into: &buffer, in: context)
                case .tasks: return try readInTask(&buffer, time)
                }
            } catch {
                let isOurs =
                    switch mine.reading {
                    case .plain: false
                    case .deadlines: error.cause == .deadlineExceeded
                    case .contexts: error.cause == .context(.deadlineExceeded)
                    case .cancellations, .tasks: error.isCanceled
                    }
                if !isOurs { throw error }
                counts.endedWaits.add(1)
            }
        }
    }

    private func readInTask(_ buffer: inout [UInt8], _ time: Duration) throws(NetError) -> Int {
        let result = Channel<Result<[UInt8], NetError>>(capacity: 1), count = buffer.count, connection = connection
        // There is room for it.
        let report: @Sendable (Result<[UInt8], NetError>) -> Void = { result <- $0 }
        let task = startTask {
            do throws(NetError) {
                report(.success(try await connection.read(upTo: count) ?? []))
            } catch { report(.failure(error)) }
        }
        let timer = Time.Timer(time) { Goroutine.withLockedThread { task.cancel() } }
        defer { _ = timer.stop() }
        let some = try (<-result)!.get()
        buffer.replaceSubrange(0..<some.count, with: some)
        return some.count
    }

    // MARK: Errors

    /// Whether the error is one that the plan has brought about.
    private func judge(_ error: NetError, isWrite: Bool) {
        let isExpected: Bool
        switch error.cause {
        case .closed: isExpected = mine.isViolent || theirs.isViolent || isRough
        case .deadlineExceeded:
            if case .deadline = mine.writeLimit { isExpected = isWrite } else { isExpected = false }
        case .context(.deadlineExceeded):
            if case .context = mine.writeLimit { isExpected = isWrite } else { isExpected = false }
        case .system(.socketNotConnected): isExpected = mine.isViolent || theirs.isViolent || isRough
        default: isExpected = error.isDisconnect && (mine.isViolent || theirs.isViolent || isRough)
        }
        if !isExpected { fail("\(self): \(isWrite ? "writing" : "reading") ended by: \(error)") }
    }
}

extension End: CustomStringConvertible {
    var description: String { "connection \(keys.in) (mine: \(mine); theirs: \(theirs))" }
}

/// What TCP's and Unix connections have in common.
protocol Connected: ByteStream {
    func closeWriting() throws(NetError)
    func closeReading() throws(NetError)
    /// Closes, so that the other side gets an error, if that is possible.
    func reset()
}

extension TCPConnection: Connected {
    func reset() {
        // Closed already, perhaps.
        try? setLinger(.zero)
        close()
    }
}

extension UnixConnection: Connected {
    func reset() { close() }
}
