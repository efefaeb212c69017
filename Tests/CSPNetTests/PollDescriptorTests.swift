import CSP
import Glibc
import Testing

/// Two descriptors that do not block: what is written to either can be read from the other.
private func pair() -> (PollDescriptor, PollDescriptor) {
    var ends: [Int32] = [0, 0]
    precondition(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    return (PollDescriptor(adopting: ends[0]), PollDescriptor(adopting: ends[1]))
}

extension PollDescriptor {
    /// One byte; nil at the end.
    fileprivate func readByte(in context: Context? = nil) throws(PollFailure) -> UInt8? {
        try enter(.reading, context)
        var byte: UInt8 = 0
        while true {
            let count = unsafe Glibc.read(descriptor, &byte, 1)
            if count >= 0 {
                leave(.reading)
                return count == 0 ? nil : byte
            }
            precondition(errno == EAGAIN)
            try wait(.reading, context)
        }
    }

    fileprivate func readByteSuspending() async throws(PollFailure) -> UInt8? {
        try await enterSuspending(.reading)
        var byte: UInt8 = 0
        while true {
            let count = unsafe Glibc.read(descriptor, &byte, 1)
            if count >= 0 {
                leave(.reading)
                return count == 0 ? nil : byte
            }
            precondition(errno == EAGAIN)
            try await waitSuspending(.reading)
        }
    }

    fileprivate func writeByte(_ byte: UInt8) throws(PollFailure) {
        try enter(.writing, nil)
        var byte = byte
        while unsafe send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) < 0 {
            precondition(errno == EAGAIN)
            try wait(.writing, nil)
        }
        leave(.writing)
    }

    /// Writes until that would block.
    fileprivate func fill() throws(PollFailure) {
        try enter(.writing, nil)
        let bytes = [UInt8](repeating: 0, count: 4096)
        while unsafe send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) > 0 {}
        leave(.writing)
    }
}

private func failure(_ body: () throws(PollFailure) -> Void) -> PollFailure? {
    do {
        try body()
        return nil
    } catch { return error }
}

@Suite struct PollDescriptorTests {
    // Closed between the system call that would have blocked and the wait for the kernel: who closes waits for who is there.
    @Test(arguments: [false, true]) func closingBeforeTheWaitHasBegun(_ hasContext: Bool) {
        inGoroutine {
            let (a, _) = pair()
            let (context, cancel) = Context.background.withCancel()
            defer { cancel() }
            let closed = Channel<Never>()
            try a.enter(.reading, nil)
            go("closer") {
                a.close()
                closed.close()
            }
            #expect(eventually { isParked("closer", for: "chan receive") })
            #expect(failure { () throws(PollFailure) in try a.wait(.reading, hasContext ? context : nil) } == .closed)
            _ = closed.receive()
        }
    }

    @Test func closingBeforeTheWaitOfATaskHasBegun() async throws {
        let (a, _) = pair()
        try await a.enterSuspending(.reading)
        async let closed: Void = Goroutine.run("closer of a task's") { a.close() }
        while !isParked("closer of a task's", for: "chan receive") { try await Task.sleep(for: .milliseconds(1)) }
        do throws(PollFailure) {
            try await a.waitSuspending(.reading)
            Issue.record("not closed")
        } catch { #expect(error == .closed) }
        await closed
    }

    @Test func aReaderParksUntilThereIsSomething() {
        inGoroutine {
            let (a, b) = pair()
            let result = Channel<UInt8?>()
            go("reader") { result <- (try? a.readByte()) ?? nil }
            #expect(eventually { isParked("reader") })
            try b.writeByte(7)
            #expect((<-result) == 7)
        }
    }

    @Test func whatCameBeforeTheWaitIsNotMissed() {
        inGoroutine {
            let (a, b) = pair()
            for n in 0..<200 {
                try b.writeByte(UInt8(truncatingIfNeeded: n))
                #expect(try a.readByte() == UInt8(truncatingIfNeeded: n))
            }
        }
    }

    @Test func aWriterParksUntilThereIsRoom() {
        inGoroutine {
            let (a, b) = pair()
            try a.fill()
            let done = Channel<PollFailure?>()
            go("writer") { done <- failure { () throws(PollFailure) in try a.writeByte(1) } }
            #expect(eventually { isParked("writer") })
            while try b.readByte() != 1 {}
            #expect((<-done) == .some(nil))
        }
    }

    @Test func theOtherSidesEndIsSeenByAParkedReader() {
        inGoroutine {
            let (a, b) = pair()
            let result = Channel<UInt8?>()
            go("reader") { result <- try! a.readByte() }
            #expect(eventually { isParked("reader") })
            b.close()
            #expect((<-result) == .some(nil))
        }
    }

    @Test func closingWakesWhoWaits() {
        inGoroutine {
            let (a, b) = pair()
            try a.fill()
            let failures = Channel<PollFailure?>()
            go("reader") { failures <- failure { () throws(PollFailure) in _ = try a.readByte() } }
            go("writer") { failures <- failure { () throws(PollFailure) in try a.writeByte(1) } }
            #expect(eventually { isParked("reader") && isParked("writer") })
            // And those in line behind them.
            for _ in 0..<3 {
                go("in line") { failures <- failure { () throws(PollFailure) in _ = try a.readByte() } }
            }
            #expect(eventually { isParked("in line", for: "IO turn") })
            a.close()
            for _ in 0..<5 { #expect((<-failures) == .some(.closed)) }
            #expect(failure { () throws(PollFailure) in _ = try a.readByte() } == .closed)
            #expect(failure { () throws(PollFailure) in try a.writeByte(1) } == .closed)
            #expect(a.borrow { $0 } == nil)
            a.close()
            // The descriptor is closed, so the other side sees the end.
            while try b.readByte() != nil {}
        }
    }

    @Test func readersTakeTurnsInOrder() {
        inGoroutine {
            let (a, b) = pair()
            let order = Channel<Int>(capacity: 8), all = WaitGroup()
            for n in 0..<5 {
                all.go("reader \(n)") {
                    _ = try! a.readByte()
                    order <- n
                }
                #expect(eventually { isParked("reader \(n)", for: n == 0 ? "IO wait" : "IO turn") })
            }
            for n in 0..<5 {
                try b.writeByte(0)
                #expect((<-order) == n)
            }
            all.wait()
        }
    }

    @Test func aDeadlineEndsAWait() {
        inGoroutine {
            let (a, b) = pair()
            a.setDeadline(Time.now.advanced(by: .milliseconds(20)), for: .reading)
            #expect(failure { () throws(PollFailure) in _ = try a.readByte() } == .deadlineExceeded)
            // And stays until it is moved, even if there is something.
            try b.writeByte(3)
            #expect(failure { () throws(PollFailure) in _ = try a.readByte() } == .deadlineExceeded)
            // The other direction has its own.
            try a.writeByte(4)
            a.setDeadline(nil, for: .reading)
            #expect(try a.readByte() == 3)
        }
    }

    @Test func aDeadlineMayBeMovedWhileSomebodyWaits() {
        inGoroutine {
            let (a, b) = pair()
            let result = Channel<PollFailure?>()
            a.setDeadline(Time.now.advanced(by: .seconds(3600)), for: [.reading, .writing])
            go("reader") { result <- failure { () throws(PollFailure) in _ = try a.readByte() } }
            #expect(eventually { isParked("reader") })
            a.setDeadline(Time.now, for: .reading)
            #expect((<-result) == .some(.deadlineExceeded))
            a.setDeadline(nil, for: [.reading, .writing])
            go("again") { result <- failure { () throws(PollFailure) in _ = try a.readByte() } }
            #expect(eventually { isParked("again") })
            a.setDeadline(Time.now.advanced(by: .milliseconds(10)), for: [.reading, .writing])
            #expect((<-result) == .some(.deadlineExceeded))
            withExtendedLifetime(b) {}
        }
    }

    @Test func aContextEndsAWaitAndLeavesTheTurn() {
        inGoroutine {
            let (a, b) = pair()
            let (context, cancel) = Context.background.withCancel()
            let result = Channel<PollFailure?>()
            go("reader") { result <- failure { () throws(PollFailure) in _ = try a.readByte(in: context) } }
            #expect(eventually { isParked("reader") })
            go("in line") { result <- failure { () throws(PollFailure) in _ = try a.readByte(in: context) } }
            #expect(eventually { isParked("in line", for: "IO turn") })
            cancel()
            #expect((<-result) == .some(.context(.canceled)))
            #expect((<-result) == .some(.context(.canceled)))
            #expect(failure { () throws(PollFailure) in _ = try a.readByte(in: context) } == .context(.canceled))
            try b.writeByte(9)
            #expect(try a.readByte() == 9)
        }
    }

    @Test func theCurrentContextEndsAWait() throws {
        let (a, b) = pair()
        let (group, context) = ErrorGroup.withContext()
        struct Enough: Error {}
        let result = Channel<PollFailure?>(capacity: 1)
        group.go("member") { result <- failure { () throws(PollFailure) in _ = try a.readByte() } }
        group.go {
            #expect(eventually { isParked("member") })
            throw Enough()
        }
        #expect(throws: Enough.self) { try group.wait() }
        #expect((<-result) == .some(.context(.canceled)))
        withExtendedLifetime((b, context)) {}
    }

    @Test func threadsWait() {
        let (a, b) = pair()
        let got = SharedAtomic(0)
        onThread {
            go("writer") {
                Time.sleep(for: .milliseconds(5))
                try! b.writeByte(5)
            }
            got.store(Int(try a.readByte()!))
        }
        #expect(got.load() == 5)
    }

    @Test func tasksSuspend() async throws {
        let (a, b) = pair()
        let task = Task { try await a.readByteSuspending() }
        let second = Task { try await a.readByteSuspending() }
        await Goroutine.run {
            Time.sleep(for: .milliseconds(5))
            try! b.writeByte(5)
            try! b.writeByte(5)
        }
        #expect(try await task.value == 5)
        #expect(try await second.value == 5)
    }

    @Test func cancellingATaskEndsItsWait() async throws {
        let (a, b) = pair()
        let waits = Task { try await a.readByteSuspending() }
        let inLine = Task { try await a.readByteSuspending() }
        try await Task.sleep(for: .milliseconds(5))
        waits.cancel()
        inLine.cancel()
        await #expect(throws: PollFailure.taskCancelled) { try await waits.value }
        await #expect(throws: PollFailure.taskCancelled) { try await inLine.value }
        try await Goroutine.run { try b.writeByte(1) }
        #expect(try await a.readByteSuspending() == 1)
    }

    @Test func closingWakesTasks() async throws {
        let (a, b) = pair()
        let waits = Task { try await a.readByteSuspending() }
        let inLine = Task { try await a.readByteSuspending() }
        try await Task.sleep(for: .milliseconds(5))
        a.close()
        await #expect(throws: PollFailure.closed) { try await waits.value }
        await #expect(throws: PollFailure.closed) { try await inLine.value }
        withExtendedLifetime(b) {}
    }

    @Test func aBusyProcessorLooksNowAndThen() {
        inGoroutine {
            let (a, b) = pair()
            let isDone = SharedAtomic(0)
            go("reader") {
                _ = try! a.readByte()
                isDone.store(1)
            }
            #expect(eventually { isParked("reader") })
            try b.writeByte(1)
            // Never out of work.
            while isDone.load() == 0 { Goroutine.yield() }
        }
    }

    @Test func theMonitorSeesThatNobodyLooks() {
        inGoroutine {
            let (a, b) = pair()
            let isDone = SharedAtomic(0)
            go("reader") {
                _ = try! a.readByte()
                isDone.store(1)
            }
            #expect(eventually { isParked("reader") })
            let all = WaitGroup()
            // As many as there are processors at the least, and none with a scheduling point.
            for _ in 0..<Scheduler.maxProcs { all.go { while isDone.load() == 0 {} } }
            try b.writeByte(1)
            while isDone.load() == 0 {}
            all.wait()
        }
    }

    @Test func whatCannotBePolledIsRefused() {
        let file = unsafe open("/proc/self/exe", O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let descriptor = PollDescriptor(adopting: file)
        #expect(descriptor.watch([.reading, .writing]) == EPERM)
    }

    @Test func theLastOneClosesIt() {
        var ends: [Int32] = [0, 0]
        #expect(unsafe pipe(&ends) == 0)
        do {
            let end = PollDescriptor(adopting: ends[1])
            #expect(end.borrow { $0 } == ends[1])
        }
        var byte: UInt8 = 0
        // The writing end is gone.
        #expect(unsafe read(ends[0], &byte, 1) == 0)
        _ = Glibc.close(ends[0])
    }
}
