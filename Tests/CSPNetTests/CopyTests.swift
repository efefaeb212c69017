import CSP
import CSPNet
import CSPNetFoundation
import Foundation
import Glibc
import SystemPackage
import Testing

@Suite struct CopyTests {
    private let size = 3 << 20

    /// Runs `body` with a file that has those bytes, at its beginning.
    private func withFile(
        _ bytes: [UInt8] = [], _ flags: FileDescriptor.OpenOptions = [], _ body: (FileDescriptor) throws -> Void
    ) throws {
        let path = NSTemporaryDirectory() + "csp-\(UInt64.random(in: 0...UInt64.max))"
        let file = try FileDescriptor.open(
            FilePath(path), .readWrite, options: flags.union([.create, .exclusiveCreate]), permissions: .ownerReadWrite)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try file.closeAfter {
            try file.writeAll(bytes)
            try file.seek(offset: 0, from: .start)
            try body(file)
        }
    }

    private func contents(_ file: FileDescriptor) throws -> [UInt8] {
        try file.seek(offset: 0, from: .start)
        var all: [UInt8] = []
        while true {
            let some = try unsafe [UInt8](unsafeUninitializedCapacity: 1 << 20) { room, count in
                count = unsafe try file.read(into: UnsafeMutableRawBufferPointer(room))
            }
            if some.isEmpty { return all }
            all += some
        }
    }

    /// An eventfd, whose function Swift's module of the C library leaves out. Reads and writes take eight bytes at a time; splice refuses it.
    private func eventCounter() throws -> PolledFile {
        typealias Function = @convention(c) (UInt32, Int32) -> Int32
        let make = unsafe unsafeBitCast(dlsym(nil, "eventfd"), to: Function.self)
        return try PolledFile(adopting: FileDescriptor(rawValue: make(0, 0)))
    }

    @Test func connectionsAreCopiedInBothDirections() {
        inGoroutine {
            let (client, near) = try tcpPair(), (far, server) = try tcpPair()
            let size = size, bytes = pattern(size), all = WaitGroup(), counts = Channel<Int>(capacity: 2)
            for (from, to) in [(near, far), (far, near)] {
                all.go {
                    counts <- try! from.copy(to: to)
                    try! to.closeWriting()
                }
            }
            for end in [client, server] {
                all.go {
                    try! end.write(bytes)
                    try! end.closeWriting()
                }
            }
            let other = Channel<[UInt8]>()
            all.go { other <- (try! server.readToEnd(limit: size)) }
            #expect(try client.readToEnd(limit: size) == bytes)
            #expect((<-other) == bytes)
            all.wait()
            #expect((<-counts) == size && (<-counts) == size)
        }
    }

    @Test func aLimitLeavesTheRest() {
        inGoroutine {
            let (a, b) = try UnixConnection.pair(), (c, d) = try UnixConnection.pair()
            try a.write("0123456789")
            #expect(try b.copy(to: c, limit: 4) == 4)
            #expect(try b.copy(to: c, limit: 0) == 0)
            #expect(try d.readAll(4) == Array("0123".utf8))
            #expect(try b.read(upTo: 100) == Array("456789".utf8))
        }
    }

    @Test func whatCannotBeSplicedIsCopiedAllTheSame() {
        inGoroutine {
            let events = try eventCounter()
            let (a, b) = try UnixConnection.pair()
            try events.write([7, 0, 0, 0, 0, 0, 0, 0])
            go { _ = try? events.copy(to: a) }
            #expect(try b.readAll(8) == [7, 0, 0, 0, 0, 0, 0, 0])
            // Into one.
            try b.write([3, 0, 0, 0, 0, 0, 0, 0])
            let sink = try eventCounter()
            #expect(try a.copy(to: sink, limit: 8) == 8)
            #expect(try sink.read(upTo: 8) == [3, 0, 0, 0, 0, 0, 0, 0])
            events.close()
        }
    }

    @Test func bothSidesErrorsAreTold() {
        inGoroutine {
            let (a, b) = try UnixConnection.pair(), (c, d) = try UnixConnection.pair()
            d.close()
            try a.write("x")
            let error = failure { () throws(NetError) in _ = try b.copy(to: c) }
            #expect(error?.operation == .write && error?.isDisconnect == true)
            b.setReadDeadline(Time.now)
            let late = failure { () throws(NetError) in _ = try b.copy(to: c) }
            #expect(late?.operation == .read && late?.isTimeout == true)
        }
    }

    @Test func aReaderPassesOnWhatItHas() {
        inGoroutine {
            let (a, b) = try UnixConnection.pair(), (c, d) = try UnixConnection.pair()
            try a.write("head\nbody")
            let reader = BufferedReader(b)
            #expect(try reader.readLine() == "head")
            go {
                try! a.write(pattern(1000))
                try! a.closeWriting()
            }
            #expect(try reader.copy(to: c) == 1004)
            #expect(try d.readAll(1004) == Array("body".utf8) + pattern(1000))
        }
    }

    @Test func filesAreSent() {
        inGoroutine {
            let bytes = pattern(size)
            try withFile(bytes) { file in
                let (client, server) = try tcpPair()
                let got = Channel<[UInt8]>()
                go { got <- (try! server.readToEnd(limit: 100 << 20)) }
                #expect(try client.write(contentsOf: file, at: 1000, count: 2000) == 2000)
                // From its own position, which was left alone.
                #expect(try client.write(contentsOf: file) == bytes.count)
                #expect(try client.write(contentsOf: file) == 0)
                #expect(try client.write(contentsOf: file, at: Int64(bytes.count - 5)) == 5)
                try client.closeWriting()
                #expect((<-got) == bytes[1000..<3000] + bytes + bytes.suffix(5))
            }
        }
    }

    @Test func filesThatTheKernelMakesUpAreSent() {
        inGoroutine {
            let file = try FileDescriptor.open(FilePath("/proc/version"), .readOnly)
            try file.closeAfter {
                let (a, b) = try UnixConnection.pair()
                let text = try String(contentsOfFile: "/proc/version", encoding: .utf8)
                #expect(try a.write(contentsOf: file, at: 0) == text.utf8.count)
                #expect(try b.readAll(text.utf8.count) == Array(text.utf8))
            }
            let (a, _) = try UnixConnection.pair()
            #expect(
                failure { () throws(NetError) in _ = try a.write(contentsOf: FileDescriptor(rawValue: -1)) }?.errno
                    == .badFileDescriptor)
        }
    }

    @Test(arguments: [FileDescriptor.OpenOptions(), .append]) func filesAreReceived(flags: FileDescriptor.OpenOptions) {
        inGoroutine {
            try withFile([], flags) { file in
                let size = size, bytes = pattern(size)
                let (client, server) = try tcpPair()
                go {
                    try! client.write(bytes)
                    client.close()
                }
                #expect(try server.copy(to: file, limit: 10) == 10)
                #expect(try server.copy(to: file) == size - 10)
                #expect(try contents(file) == bytes)
            }
        }
    }

    @Test func tasksCopy() async throws {
        let (a, b) = try UnixConnection.pair(), (c, d) = try UnixConnection.pair()
        let bytes = pattern(size), size = size
        async let copied = b.copy(to: c)
        async let got = { () async throws(NetError) -> [UInt8] in
            var all: [UInt8] = []
            while all.count < size, let some = try await d.read(upTo: 1 << 16) { all += some }
            return all
        }()
        try await a.write(bytes)
        try a.closeWriting()
        #expect(try await copied == size)
        #expect(try await got == bytes)
        let file = try FileDescriptor.open(FilePath("/proc/version"), .readOnly)
        let count = try await d.write(contentsOf: file)
        try file.close()
        #expect(try await c.read(upTo: 10_000)?.count == count)
    }

    @Test func dataIsWrittenAndRead() async throws {
        let (a, b) = try UnixConnection.pair()
        let data = Data(pattern(1000))
        try await a.write(data)
        #expect(try await b.readData(upTo: 2000) == data)
        inGoroutine {
            try a.write(data)
            #expect(try b.readData(upTo: 10) == data.prefix(10))
            try a.closeWriting()
            #expect(try b.readDataToEnd(limit: 1000) == data.dropFirst(10))
        }
    }
}
