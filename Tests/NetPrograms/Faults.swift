import CSP
import CSPNet
import Dispatch
import SystemPackage

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

// Rounds of connections that are reset, half closed, stalled, closed under those who use them and ended by deadlines and contexts, at first with plenty of
// descriptors, then with few. After each round all that it began has ended, and every byte that came was the right one.

func faults(seconds: Int, seed: UInt64) {
    let counts = Counts()
    print("seed \(seed), \(Scheduler.maxProcs) processors")
    // What the runtime itself keeps open is there from then on.
    runRound(SplitMix64(seed: seed), isTight: false, counts, seed)
    let descriptors = openDescriptors()
    let begin = Time.now
    let half = begin.advanced(by: .milliseconds(500 * seconds)), end = begin.advanced(by: .seconds(seconds))
    var rounds: UInt64 = 1
    while Time.now < end {
        let isTight = Time.now >= half
        if isTight { limitDescriptors(to: 64) }
        runRound(SplitMix64(seed: seed &+ rounds), isTight: isTight, counts, seed &+ rounds)
        rounds += 1
        if !eventually({ openDescriptors().count == descriptors.count }) {
            fail("seed \(seed &+ rounds): open descriptors were \(descriptors) and are \(openDescriptors())")
        }
    }
    print("rounds \(rounds) \(counts.line)")
}

private func runRound(_ random: SplitMix64, isTight: Bool, _ counts: Counts, _ seed: UInt64) {
    let finished = DispatchSemaphore(value: 0)
    go("round") {
        var random = random
        Round(isTight: isTight, counts, &random).run(&random)
        finished.signal()
    }
    // Far more than any round takes.
    if finished.wait(timeout: .now() + 100) == .timedOut {
        // To name what is on the stacks takes descriptors.
        limitDescriptors(to: nil)
        fail("seed \(seed): hangs\n\(Goroutine.dump())")
    }
    if !eventually({ Goroutine.count == 0 }) { fail("seed \(seed): goroutines are left\n\(Goroutine.dump())") }
}

/// Clients and a server.
private final class Round: Sendable {
    private let isTight: Bool
    /// The server ends before the clients do.
    private let isRough: Bool
    private let counts: Counts
    private let listener: AnyListener
    /// All that ever were: a server may come to know its client after that has gone.
    private let transfers = Mutex<[UInt64: Transfer]>([:])

    init(isTight: Bool, _ counts: Counts, _ random: inout SplitMix64) {
        self.isTight = isTight
        isRough = random.chance(20)
        self.counts = counts
        var options = ListenOptions()
        options.onExhaustion = { _ in counts.exhaustedAccepts.add(1) }
        // Small ones fill up soon.
        if random.chance(50) {
            options.connections.sendBuffer = 16_384
            options.connections.receiveBuffer = 16_384
        }
        listener = AnyListener(isUnix: random.chance(30), number: random.next(), options)
    }

    func run(_ random: inout SplitMix64) {
        let (context, stop) = Context.background.withCancel()
        let server = startServer(context, &random)
        // As many as leave descriptors for some of their servers: then all get on.
        let workers = WaitGroup(), isOver = SharedAtomic(0)
        for _ in 0..<(isTight ? 24 : 48) {
            let seed = random.next()
            workers.go("client") { [self] in
                var random = SplitMix64(seed: seed)
                for _ in 0..<(1 + random.below(5)) { client(&random) }
            }
        }
        let hogs = WaitGroup()
        if isTight {
            for _ in 0..<6 {
                let seed = random.next()
                hogs.go("hog") { [self] in
                    var random = SplitMix64(seed: seed)
                    // Not for as long as there are clients: then they would get on only by chance.
                    for _ in 0..<20 where isOver.load() == 0 { hog(&random) }
                }
            }
        }
        if isRough {
            Time.sleep(for: random.duration(upTo: 10_000))
            if random.chance(50) { stop() } else { listener.close() }
        }
        workers.wait()
        isOver.store(1)
        hogs.wait()
        if random.chance(50) { stop() } else { listener.close() }
        server.wait()
        stop()
        listener.close()
    }

    // MARK: The server

    private func startServer(_ context: Context, _ random: inout SplitMix64) -> WaitGroup {
        let server = WaitGroup()
        let seed = random.next(), isRough = isRough
        let handle: @Sendable (any Connected) -> Void = { [self] connection in
            var random = SplitMix64(seed: seed)
            serve(connection, &random)
        }
        if random.chance(40) {
            for index in 0..<3 {
                server.go("accepter") { [self] in accept(context, hasTimeouts: index == 2, server, handle) }
            }
            return server
        }
        let limit = random.chance(50) ? 1 + random.below(20) : nil
        let grace = isRough ? random.duration(upTo: 2000) : nil
        server.go("server") { [listener] in
            must { () throws(NetError) in try listener.serve(in: context, limit: limit, grace: grace, handle) }
        }
        return server
    }

    private func accept(
        _ context: Context, hasTimeouts: Bool, _ server: WaitGroup,
        _ handle: @escaping @Sendable (any Connected) -> Void
    ) {
        while true {
            do throws(NetError) {
                let connection =
                    hasTimeouts
                    ? try context.withTimeout(.milliseconds(1)) { limited throws(NetError) in
                        try listener.accept(in: limited)
                    }
                    : try listener.accept(in: context)
                server.go("handler") { handle(connection) }
            } catch {
                // Who is in the backlog does not wait for ever.
                if error.isClosed || context.error != nil { return listener.close() }
                if !hasTimeouts || !error.isTimeout { fail("accepting: \(error)") }
            }
        }
    }

    private func serve(_ connection: any Connected, _ random: inout SplitMix64) {
        guard let key = readKey(connection) else {
            counts.stillborn.add(1)
            return connection.close()
        }
        guard let transfer = transfers.withLock({ $0[key] }) else { fail("nobody has the key \(key)") }
        random = SplitMix64(seed: random.next() ^ key)
        End(connection, transfer, isServer: true, isRough: isRough, counts).run(&random)
    }

    /// What a client sends first. Nil if it did not get as far.
    private func readKey(_ connection: any Connected) -> UInt64? {
        var bytes: [UInt8] = []
        do throws(NetError) {
            while bytes.count < 8 {
                guard let some = try connection.read(upTo: 8 - bytes.count, in: nil) else { return nil }
                bytes += some
            }
        } catch {
            if !error.isDisconnect, !(isRough && error.isClosed) { fail("reading the key: \(error)") }
            return nil
        }
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    // MARK: The clients

    private func client(_ random: inout SplitMix64) {
        if random.chance(2) { return fillBacklog(&random) }
        let transfer = Transfer(&random)
        guard let connection = dial(&random) else { return }
        counts.connections.add(1)
        transfers.withLock { $0[transfer.key] = transfer }
        do throws(NetError) {
            try connection.write((0..<8).map { UInt8(truncatingIfNeeded: transfer.key >> (8 * $0)) })
        } catch {
            // Nobody else but the listener's end has to do with it yet.
            if !isRough || !error.isDisconnect { fail("writing the key: \(error)") }
            return connection.close()
        }
        End(connection, transfer, isServer: false, isRough: isRough, counts).run(&random)
    }

    private func dial(_ random: inout SplitMix64) -> (any Connected)? {
        let isLimited = random.chance(10)
        while true {
            do throws(NetError) {
                if !isLimited { return try listener.dial(in: nil) }
                return try Context.background.withTimeout(random.duration(upTo: 200)) { context throws(NetError) in
                    try listener.dial(in: context)
                }
            } catch {
                if isTight, error.isOutOfDescriptors {
                    counts.exhaustedDials.add(1)
                    Time.sleep(for: .microseconds(200))
                    continue
                }
                if isLimited, error.isTimeout {
                    counts.endedDials.add(1)
                    return nil
                }
                let isRefusal =
                    error.isDisconnect || error.errno == .connectionRefused || error.errno == .noSuchFileOrDirectory
                if !isRough || !isRefusal { fail("dialing: \(error)") }
                counts.failedDials.add(1)
                return nil
            }
        }
    }

    /// Attempts that nobody accepts: what does not fit into the backlog waits until its time is over, or the listener's.
    private func fillBacklog(_ random: inout SplitMix64) {
        var options = ListenOptions()
        options.backlog = 1
        let isUnix = random.chance(50), number = random.next()
        guard let crowded = AnyListener(ifPossible: isUnix, number: number, options) else {
            if !isTight { fail("cannot listen") }
            counts.exhaustedOthers.add(1)
            return
        }
        let dialers = WaitGroup()
        for _ in 0..<4 {
            let time = random.duration(upTo: 20_000)
            dialers.go("dialer") { [self] in
                do throws(NetError) {
                    let connection = try Context.background.withTimeout(time) { context throws(NetError) in
                        try crowded.dial(in: context)
                    }
                    connection.close()
                } catch {
                    let isExpected =
                        error.isTimeout || error.isDisconnect || error.errno == .connectionRefused
                        || error.errno == .noSuchFileOrDirectory || (isTight && error.isOutOfDescriptors)
                    if !isExpected { fail("dialing where nobody accepts: \(error)") }
                    counts.endedDials.add(1)
                }
            }
        }
        Time.sleep(for: random.duration(upTo: 20_000))
        crowded.close()
        dialers.wait()
    }

    /// Takes descriptors of other kinds for a while, and uses them.
    private func hog(_ random: inout SplitMix64) {
        var pipes: [(reading: PolledFile, writing: PolledFile)] = []
        var pairs: [(UnixConnection, UnixConnection)] = []
        do throws(NetError) {
            for _ in 0..<(1 + random.below(4)) {
                if random.chance(50) {
                    pipes.append(try PolledFile.pipe())
                } else {
                    pairs.append(try UnixConnection.pair())
                }
            }
        } catch {
            if !error.isOutOfDescriptors { fail("\(error)") }
            counts.exhaustedOthers.add(1)
        }
        Time.sleep(for: random.duration(upTo: 3000))
        for (reading, writing) in pipes {
            let byte = UInt8(truncatingIfNeeded: random.next())
            must { () throws(NetError) in
                try writing.write([byte])
                if try reading.read(upTo: 10) != [byte] { fail("wrong bytes in a pipe") }
            }
            if random.chance(50) { reading.close() }
        }
        for (one, other) in pairs {
            let byte = UInt8(truncatingIfNeeded: random.next())
            must { () throws(NetError) in
                try one.write([byte])
                if try other.read(upTo: 10) != [byte] { fail("wrong bytes in a pair") }
            }
        }
    }
}

/// A listener of either kind.
private enum AnyListener {
    case tcp(TCPListener)
    case unix(UnixListener)

    init(isUnix: Bool, number: UInt64, _ options: ListenOptions) {
        self = must { () throws(NetError) in try AnyListener.make(isUnix, number, options) }
    }

    /// Nil if descriptors are short.
    init?(ifPossible isUnix: Bool, number: UInt64, _ options: ListenOptions) {
        do throws(NetError) { self = try AnyListener.make(isUnix, number, options) } catch {
            if !error.isOutOfDescriptors { fail("\(error)") }
            return nil
        }
    }

    /// An address of the loopback's that other processes have not: clients go on dialing a port that may be somebody else's by then.
    private static let ownLoopback: IPAddress = {
        let process = UInt32(getpid())
        return IPAddress(
            127, 100 + UInt8(process >> 16 & 127), UInt8(process >> 8 & 255), UInt8(truncatingIfNeeded: process))
    }()

    private static func make(_ isUnix: Bool, _ number: UInt64, _ options: ListenOptions) throws(NetError) -> AnyListener
    {
        if isUnix { return .unix(try UnixListener(path: "@csp-\(getpid())-\(number)", options)) }
        return .tcp(try TCPListener(.ip(ownLoopback, port: 0), options))
    }

    func accept(in context: Context) throws(NetError) -> any Connected {
        switch self {
        case .tcp(let listener): try listener.accept(in: context)
        case .unix(let listener): try listener.accept(in: context)
        }
    }

    func serve(
        in context: Context, limit: Int?, grace: Duration?, _ handle: @escaping @Sendable (any Connected) -> Void
    ) throws(NetError) {
        switch self {
        case .tcp(let listener): try listener.serve(in: context, limit: limit, grace: grace) { handle($0) }
        case .unix(let listener): try listener.serve(in: context, limit: limit, grace: grace) { handle($0) }
        }
    }

    func dial(in context: Context?) throws(NetError) -> any Connected {
        switch self {
        case .tcp(let listener): try TCPConnection.dial(listener.address, in: context)
        case .unix(let listener): try UnixConnection.dial(path: listener.address.description, in: context)
        }
    }

    func close() {
        switch self {
        case .tcp(let listener): listener.close()
        case .unix(let listener): listener.close()
        }
    }
}
