import CSP
import CSPNet

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

// Many connections at which nothing happens, then all of them at once. A server and its clients in two processes: one alone may not have the descriptors
// for both ends.

private let messageSize = 16

/// What a client sends, and what it is answered.
private func message(_ index: Int, isAnswer: Bool) -> [UInt8] {
    var random = SplitMix64(seed: UInt64(index) << 1 | (isAnswer ? 1 : 0))
    return (0..<messageSize).map {
        $0 < 4 ? UInt8(truncatingIfNeeded: index >> (8 * $0)) : UInt8(truncatingIfNeeded: random.next())
    }
}

/// The next `count` bytes; nil at the end.
private func readExactly(_ count: Int, _ connection: TCPConnection) throws(NetError) -> [UInt8]? {
    guard var bytes = try connection.read(upTo: count) else { return nil }
    while bytes.count < count, let some = try connection.read(upTo: count - bytes.count) { bytes += some }
    return bytes
}

/// Reads up to a line's end.
private func readLine(_ connection: TCPConnection) -> String {
    var line: [UInt8] = []
    while let byte = must({ () throws(NetError) in try connection.read(upTo: 1) }), byte[0] != 10 { line += byte }
    return String(decoding: line, as: UTF8.self)
}

func idle(_ count: Int, seconds: Int) {
    let limit = limitDescriptors(to: nil)
    guard count + 50 < limit else { fail("no more than \(limit) descriptors") }
    let listener = must { () throws(NetError) in try TCPListener(.ip(.loopback, port: 0)) }
    let child = startClients(port: listener.address.port!, count)
    let control = must { () throws(NetError) in try listener.accept() }

    let descriptorsBefore = openDescriptors().count, kilobytesBefore = residentKilobytes()
    let started = SharedAtomic(0), handlers = WaitGroup()
    let server = WaitGroup()
    server.go("accept") {
        for _ in 0..<count {
            let connection = must { () throws(NetError) in try listener.accept() }
            handlers.go { serve(connection, started) }
        }
    }
    guard readLine(control) == "connected" else { fail("the clients ended") }
    server.wait()
    guard eventually({ started.load() == count }) else { fail("only \(started.load()) handlers began") }

    // Past the time after which everything must have gone to sleep.
    sleep(1)
    print("connections", count)
    print("goroutines", Goroutine.count)
    print("bytes-per-connection", (residentKilobytes() - kilobytesBefore) * 1024 / count)
    let before = Usage()
    sleep(UInt32(seconds))
    let after = Usage()
    print("cpu-microseconds", after.microseconds - before.microseconds)
    print("switches", after.switches - before.switches)

    must { () throws(NetError) in try control.write("g") }
    print(readLine(control))
    let busy = Usage()
    print("answering-cpu-microseconds", busy.microseconds - after.microseconds)
    print("bytes-per-connection-afterwards", (residentKilobytes() - kilobytesBefore) * 1024 / count)

    must { () throws(NetError) in try control.write("e") }
    handlers.wait()
    var status: Int32 = 0
    // SAFETY: `status` lives through the call.
    while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR { continue }
    if status != 0 { fail("the clients ended with status \(status)") }
    let descriptorsAfter = openDescriptors()
    if descriptorsAfter.count > descriptorsBefore { fail("open descriptors are left: \(descriptorsAfter)") }
    if !eventually({ Goroutine.count == 0 }) { fail("goroutines are left:\n\(Goroutine.dump())") }
}

private func serve(_ connection: TCPConnection, _ started: SharedAtomic<Int>) {
    started.add(1)
    do throws(NetError) {
        while let bytes = try readExactly(messageSize, connection) {
            let index = (0..<4).reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
            if bytes != message(index, isAnswer: false) { fail("wrong bytes came for \(index)") }
            try connection.write(message(index, isAnswer: true))
        }
    } catch { fail("\(error)") }
    connection.close()
}

private func startClients(port: UInt16, _ count: Int) -> pid_t {
    var child: pid_t = 0
    let words = ["net-programs", "idle-clients", "\(port)", "\(count)"]
    // SAFETY: the copies live through the call, which copies them; the array ends with nil.
    var copies = unsafe words.map { word in unsafe Optional(strdup(word)!) } + [nil]
    defer { unsafe copies.forEach { copy in unsafe free(copy) } }
    let error = unsafe posix_spawn(&child, "/proc/self/exe", nil, nil, &copies, environ)
    if error != 0 { fail("posix_spawn: error \(error)") }
    return child
}

/// The other process.
func idleClients(port: UInt16, _ count: Int) {
    limitDescriptors(to: nil)
    let address = SocketAddress.ip(.loopback, port: port)
    let control = must { () throws(NetError) in try TCPConnection.dial(address) }
    let kilobytesBefore = residentKilobytes()
    let gate = Channel<Never>(), end = Channel<Never>(), answered = WaitGroup(), ended = WaitGroup()
    // As many at a time as any backlog takes.
    let dialing = CSP.Semaphore(64), connected = WaitGroup()
    let times = Mutex<[Int]>([])
    let start = SharedAtomic<Int64>(0)
    connected.add(count)
    answered.add(count)
    for index in 0..<count {
        ended.go {
            dialing.acquire()
            let connection = must { () throws(NetError) in try TCPConnection.dial(address) }
            dialing.release()
            connected.done()
            gate.receive()
            let answer = must { () throws(NetError) in
                try connection.write(message(index, isAnswer: false))
                return try readExactly(messageSize, connection)
            }
            if answer != message(index, isAnswer: true) {
                fail("\(index) was answered with \(answer, default: "nothing")")
            }
            let time = microseconds() - start.load()
            times.withLock { $0.append(Int(time)) }
            answered.done()
            end.receive()
            connection.close()
        }
    }
    connected.wait()
    let bytesEach = (residentKilobytes() - kilobytesBefore) * 1024 / count
    let before = Usage()
    must { () throws(NetError) in try control.write("connected\n") }
    _ = must { () throws(NetError) in try control.read(upTo: 1) }
    let after = Usage()
    start.store(microseconds())
    gate.close()
    answered.wait()
    let sorted = times.withLock { $0.sorted() }
    must { () throws(NetError) in
        try control.write(
            "answered \(sorted.count) median-microseconds \(sorted[count / 2]) last \(sorted[count - 1])"
                + " client-bytes \(bytesEach) client-idle-cpu \(after.microseconds - before.microseconds)\n")
    }
    _ = must { () throws(NetError) in try control.read(upTo: 1) }
    end.close()
    ended.wait()
}

private func microseconds() -> Int64 {
    var time = timespec()
    // SAFETY: `time` lives through the call.
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}
