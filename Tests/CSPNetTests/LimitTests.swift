import CSP
import CSPNet
import Foundation
import Glibc
import ProgramRunner
import Testing

/// `CSP_STRESS=1`: at length. `CSP_STRESS=0`: as short as may be.
private let extent = ProcessInfo.processInfo.environment["CSP_STRESS"]
private let seconds = extent == "1" ? 60 : extent == "0" ? 1 : 2

// Without the optimizer generic code asks Swift's runtime for types all the time, which takes one lock for that each time (`once_slow` in
// `swift_getCanonicalPrespecializedGenericMetadata`): sixteen threads on few processors queue up there, and a round takes minutes.
#if DEBUG
    private let processorCounts = extent == "0" ? [2] : [1, 2, 4]
#else
    private let processorCounts = extent == "0" ? [2] : [1, 2, 4, 16]
#endif

/// What the system's limits and bad peers do to servers. Much of it needs a process to itself: see Tests/NetPrograms. One at a time: each takes all the
/// processors that it gets.
@Suite(.serialized) struct LimitTests {
    @Test(arguments: processorCounts) func nothingIsLostOrLeftByFaults(processors: Int) throws {
        let seed = ProcessInfo.processInfo.environment["CSP_SEED"].flatMap { UInt64($0) } ?? .random(in: 0...UInt64.max)
        let ending = try program(
            "faults", "\(seconds)", "\(seed)", of: "net-programs", environment: ["CSP_MAXPROCS": "\(processors)"])
        #expect(ending.status == 0 && !ending.bySignal, "CSP_SEED=\(seed), \(processors) processors: \(ending)")
        print(ending.output.split(separator: "\n").last ?? "")
    }

    @Test func idleConnectionsCostLittle() throws {
        let count = extent == "1" ? 9_900 : 1_000
        let ending = try program("idle", "\(count)", "2", of: "net-programs")
        print(ending.output.replacing("\n", with: " "))
        try #require(ending.status == 0 && !ending.bySignal, "\(ending)")
        #expect(try ending.number("goroutines") == count)
        #expect(try ending.number("cpu-microseconds") < 20_000)
        #expect(try ending.number("switches") < 50)
        #if !DEBUG
            #expect(try ending.number("bytes-per-connection") < 12_000)
        #endif
    }

    @Test func acceptingWithoutDescriptorsBacksOffReportsAndGoesOn() throws {
        let ending = try program("exhaustion", of: "net-programs")
        #expect(ending.status == 0 && !ending.bySignal, "\(ending)")
        // Seven tries, whether in a goroutine or in a task; a loop without pauses would take all of the 300 ms.
        #expect(try ending.number("cpu-microseconds") < 100_000)
        #expect(try ending.number("task-cpu-microseconds") < 100_000)
    }

    @Test func slowReadersDoNotGrowTheWriter() throws {
        let ending = try program("slow-readers", of: "net-programs")
        try #require(ending.status == 0 && !ending.bySignal, "\(ending)")
        // A hundred writers, each with two megabytes that nobody reads.
        #expect(try ending.number("written-while-nobody-read") == 0)
        #expect(try ending.number("kilobytes") < 16_000)
    }

    @Test func aBrokenPipeNeverKills() throws {
        let ending = try program("broken-pipes", of: "net-programs")
        try #require(ending.status == 0 && !ending.bySignal, "\(ending)")
        #expect(try ending.number("failures") == 48)
    }

    @Test func aPeerThatNeverAnswersEndsByDeadline() {
        inGoroutine {
            // Connected, as far as the system knows; nobody ever accepts.
            let listener = try TCPListener(.ip(.loopback, port: 0))
            let client = try TCPConnection.dial(listener.address)
            client.setDeadline(Time.now.advanced(by: .milliseconds(50)))
            let results = Channel<NetError?>()
            go("reader") { results <- failure { () throws(NetError) in _ = try client.read(upTo: 1) } }
            go("writer") { results <- failure { () throws(NetError) in try client.write(pattern(32 << 20)) } }
            for _ in 0..<2 { #expect((<-results)??.isTimeout == true) }
            client.close()
            withExtendedLifetime(listener) {}
        }
    }

    @Test(.enabled(if: mayForget, "needs the right to let a connection vanish"))
    func aPeerThatForgotIsFoundByKeepAlive() {
        inGoroutine {
            var options = ListenOptions()
            options.connections.keepAlive = .seconds(1)
            let (client, server) = try tcpPair(options)
            let result = Channel<NetError?>()
            go("reader") { result <- failure { () throws(NetError) in _ = try client.read(upTo: 1) } }
            #expect(eventually { isParked("reader") })
            // As when a machine has been switched off and is back: nothing was said, and nobody knows of the connection.
            try server.withDescriptor { #expect(repair($0.rawValue)) }
            server.close()
            #expect((<-result)??.isDisconnect == true)
        }
    }
}

/// Makes a TCP socket one that is closed without a word (TCP_REPAIR).
private func repair(_ socket: Int32) -> Bool {
    var value: Int32 = 1
    // SAFETY: the value lives through the call.
    return unsafe setsockopt(socket, Int32(IPPROTO_TCP), 19, &value, 4) == 0
}

private let mayForget: Bool = {
    let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(file) }
    return repair(file)
}()
