import CSP
import CSPNet
import SystemPackage

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// No descriptors are left for what comes in: the listener reports that, tries more and more seldom, and goes on once there are some.
func exhaustion() {
    let descriptors = limitDescriptors(to: 64)
    struct Report {
        let error: NetError
        let time: Time.Instant
    }
    let reports = Channel<Report>(capacity: 100)
    var options = ListenOptions()
    options.onExhaustion = { error in reports <- Report(error: error, time: .now) }
    let listener = must { [options] () throws(NetError) in try TCPListener(.ip(.loopback, port: 0), options) }
    for isTask in [false, true] {
        let client = must { () throws(NetError) in try TCPConnection.dial(listener.address) }
        let hogs = takeAllDescriptors()
        let refusal = refused { () throws(NetError) in _ = try TCPConnection.dial(listener.address) }
        guard refusal?.isOutOfDescriptors == true else { fail("dialing without descriptors: \(refusal, default: "")") }
        let accepted = Channel<TCPConnection>(capacity: 1)
        let accepter = WaitGroup()
        if isTask {
            // There is room for it.
            let report: @Sendable (TCPConnection) -> Void = { accepted <- $0 }
            _ = startTask {
                do throws(NetError) { report(try await listener.accept()) } catch { fail("\(error)") }
            }
        } else {
            accepter.go("accepter") { accepted <- must { () throws(NetError) in try listener.accept() } }
        }
        let before = Usage()
        let seen = (0..<7).map { _ in (<-reports)! }
        let cpu = Usage().microseconds - before.microseconds
        // Five milliseconds, then twice as long each time.
        for (index, pair) in zip(seen, seen.dropFirst()).enumerated() {
            let gap = pair.0.time.duration(to: pair.1.time)
            if gap < .milliseconds(5 << index) { fail("tries again after \(gap), having failed \(index + 1) times") }
            if !pair.1.error.isOutOfDescriptors { fail("reports \(pair.1.error)") }
        }
        for file in hogs { try? file.close() }
        guard let connection = <-accepted else { fail("the channel is closed") }
        accepter.wait()
        must { () throws(NetError) in
            try client.write("still here")
            client.close()
            let text = try connection.readToEnd(limit: 100)
            if text != Array("still here".utf8) { fail("\(text) came") }
        }
        connection.close()
        print(isTask ? "task-cpu-microseconds" : "cpu-microseconds", cpu)
    }
    listener.close()
    takePipes()
    if openDescriptors().count > descriptors / 2 { fail("open descriptors are left: \(openDescriptors())") }
}

/// A pipe is made whenever there are two descriptors for it; with fewer it fails, and keeps none.
private func takePipes() {
    var hogs = takeAllDescriptors()
    for free in 0...2 {
        do throws(NetError) {
            let pipe = try PolledFile.pipe()
            if free < 2 { fail("a pipe of \(free) descriptors") }
            pipe.reading.close()
            pipe.writing.close()
        } catch {
            if free == 2 || !error.isOutOfDescriptors { fail("\(error)") }
        }
        let left = takeAllDescriptors()
        if left.count != free { fail("a pipe left \(left.count) descriptors of \(free)") }
        for file in left { try? file.close() }
        try? hogs.removeLast().close()
    }
    for file in hogs { try? file.close() }
}

/// All that the limit leaves.
private func takeAllDescriptors() -> [FileDescriptor] {
    var all: [FileDescriptor] = []
    do {
        while true { all.append(try FileDescriptor.standardError.duplicate()) }
    } catch Errno.tooManyOpenFiles {
        return all
    } catch { fail("\(error)") }
}

func refused(_ body: () throws(NetError) -> Void) -> NetError? {
    do {
        try body()
        return nil
    } catch { return error }
}

/// A hundred peers that read nothing: who writes to them waits, and keeps nothing.
func slowReaders() {
    let count = 100, size = 2 << 20
    var options = ListenOptions()
    // The system keeps less than each writes.
    options.connections.sendBuffer = 65_536
    let listener = must { [options] () throws(NetError) in try TCPListener(.ip(.loopback, port: 0), options) }
    let bytes = [UInt8](repeating: 7, count: size)
    let clients = (0..<count).map { _ in must { () throws(NetError) in try TCPConnection.dial(listener.address) } }
    let servers = (0..<count).map { _ in must { () throws(NetError) in try listener.accept() } }
    let before = residentKilobytes()
    let written = SharedAtomic(0), writers = WaitGroup()
    for (index, server) in servers.enumerated() {
        writers.go("writer \(index)") {
            for _ in 0..<2 {
                must { () throws(NetError) in try server.write(bytes) }
                written.add(size)
            }
            server.close()
        }
    }
    // All of them wait, and nobody has got as far as the first piece's end.
    let parked = { (0..<count).filter { Dump.isParked("writer \($0)", for: "IO wait") }.count }
    guard eventually(within: 60, { parked() == count }) else { fail("only \(parked()) writers wait") }
    print("written-while-nobody-read", written.load())
    print("kilobytes", residentKilobytes() - before)
    let readers = WaitGroup(), read = SharedAtomic(0)
    for client in clients {
        readers.go("reader") {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let some = must { () throws(NetError) in try client.read(into: &buffer) }
                if some == 0 { break }
                read.add(some)
            }
            client.close()
        }
    }
    readers.wait()
    writers.wait()
    if read.load() != 2 * size * count { fail("\(read.load()) bytes came of \(2 * size * count)") }
    print("read", read.load())
}

/// Writing where nobody reads is an error and no signal; and a SIGPIPE that is somebody else's stays.
func brokenPipes() {
    var failures = writeWhereNobodyReads()
    failures += Goroutine.run { writeWhereNobodyReads() }

    // One that was sent by somebody else while this thread had it blocked.
    var signals = sigset_t(), pending = sigset_t()
    // SAFETY: the sets live through the calls.
    unsafe sigemptyset(&signals)
    unsafe sigaddset(&signals, SIGPIPE)
    _ = unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    raise(SIGPIPE)
    failures += writeWhereNobodyReads()
    _ = unsafe sigpending(&pending)
    if unsafe sigismember(&pending, SIGPIPE) != 1 { fail("a signal was taken that was not ours") }
    print("failures", failures)
}

/// Returns how many writes failed.
private func writeWhereNobodyReads() -> Int {
    must { () throws(NetError) in
        let pipe = try PolledFile.pipe()
        pipe.reading.close()
        var failures = brokenWrites(pipe.writing)
        let (one, other) = try UnixConnection.pair()
        other.close()
        failures += brokenWrites(one)
        let listener = try TCPListener(.ip(.loopback, port: 0))
        let client = try TCPConnection.dial(listener.address)
        let server = try listener.accept()
        try server.setLinger(.zero)
        server.close()
        guard refused({ () throws(NetError) in _ = try client.read(upTo: 1) })?.isDisconnect == true else {
            fail("not reset")
        }
        failures += brokenWrites(client)
        let half = try TCPConnection.dial(listener.address)
        try half.closeWriting()
        return failures + brokenWrites(half)
    }
}

private func brokenWrites(_ stream: ByteStream) -> Int {
    for isGathered in [false, true, false, true] {
        let error = refused { () throws(NetError) in
            if isGathered { try stream.write([[1], [2]]) } else { try stream.write([1]) }
        }
        if error?.errno != .brokenPipe { fail("\(error, default: "written")") }
    }
    return 4
}

/// A port is free as soon as its listener is closed, whoever is about to accept. Where others start processes it need not be: from fork to exec a child has
/// the listener, too.
func reusedPorts() {
    for _ in 0..<200 {
        let listener = must { () throws(NetError) in try TCPListener(.ip(.loopback, port: 0)) }
        let results = Channel<NetError?>()
        for _ in 0..<3 {
            go("accepter") { results <- refused { () throws(NetError) in _ = try listener.accept() } }
        }
        listener.close()
        let again = must { () throws(NetError) in try TCPListener(listener.address) }
        for _ in 0..<3 {
            let error = (<-results)!
            if error?.isClosed != true { fail("accepting ended by: \(error, default: "nothing")") }
        }
        again.close()
    }
}
