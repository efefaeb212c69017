import CSP
import CSPNet
import Testing

@Suite struct BufferedTests {
    /// A reader of what is written to the other end, which `pieces` come through one by one.
    private func reader(
        of pieces: [String], capacity: Int = 4096, ends: Bool = true
    ) throws -> (reader: BufferedReader, other: UnixConnection) {
        let (near, far) = try UnixConnection.pair()
        go {
            for piece in pieces { try? far.write(piece) }
            if ends { try? far.closeWriting() }
        }
        return (BufferedReader(near, capacity: capacity), far)
    }

    @Test(arguments: [16, 17, 4096]) func linesEndInSeveralWays(capacity: Int) {
        inGoroutine {
            let (reader, _) = try reader(
                of: [
                    "first\nsec", "ond\r", "\n\n\r\nwith \r inside\n", "long " + String(repeating: "x", count: 100),
                    "\nlast",
                ],
                capacity: capacity)
            var lines: [String] = []
            while let line = try reader.readLine() { lines.append(line) }
            #expect(
                lines == [
                    "first", "second", "", "", "with \r inside", "long " + String(repeating: "x", count: 100), "last",
                ])
            #expect(try reader.readLine() == nil)
        }
    }

    @Test func aLineMayEndWithTheStreamAndACarriageReturn() {
        inGoroutine {
            let (reader, _) = try reader(of: ["a\r"])
            #expect(try reader.readLine() == "a\r")
            #expect(try reader.readLine() == nil)
        }
    }

    @Test func whatIsNoTextIsRepaired() {
        inGoroutine {
            let (near, far) = try UnixConnection.pair()
            try far.write([97, 255, 98, 10])
            #expect(try BufferedReader(near).readLine() == "a\u{FFFD}b")
        }
    }

    @Test func anEndlessLineIsRefusedAndNothingIsLost() {
        inGoroutine {
            let (near, far) = try UnixConnection.pair()
            let reader = BufferedReader(near, capacity: 16)
            go { while (try? far.write(pattern(1000).map { $0 | 128 })) != nil {} }
            let error = failure { () throws(NetError) in _ = try reader.readLine(limit: 100) }
            #expect(error?.cause == .tooLong(limit: 100))
            #expect(reader.bufferedCount > 100 && reader.bufferedCount < 300)
            // Not even that much memory is needed to pass it by.
            #expect(try reader.read(exactly: 1000) == pattern(1000).map { $0 | 128 })
            near.close()
        }
    }

    @Test func aLineMayBeAsLongAsTheLimit() {
        inGoroutine {
            let (reader, _) = try reader(of: ["12345\r\n12345\n123456\nrest\n"], capacity: 16)
            #expect(try reader.readLine(limit: 5) == "12345")
            #expect(try reader.readLine(limit: 5) == "12345")
            #expect(
                failure { () throws(NetError) in _ = try reader.readLine(limit: 5) }?.cause == .tooLong(limit: 5))
            #expect(try reader.skip(through: 10))
            #expect(try reader.readLine(limit: 5) == "rest")
            #expect(try !reader.skip(through: 10))
        }
    }

    @Test func partsEndWithTheirDelimiter() {
        inGoroutine {
            let (reader, _) = try reader(of: ["a;", "bc", ";;d"], capacity: 16)
            #expect(try reader.read(through: 59) == Array("a;".utf8))
            #expect(try reader.read(through: 59) == Array("bc;".utf8))
            #expect(try reader.read(through: 59) == Array(";".utf8))
            #expect(failure { () throws(NetError) in _ = try reader.read(through: 59, limit: 0) } != nil)
            #expect(try reader.read(through: 59) == Array("d".utf8))
            #expect(try reader.read(through: 59) == nil)
        }
    }

    @Test func countsAreKept() {
        inGoroutine {
            let bytes = pattern(10_000)
            let (near, far) = try UnixConnection.pair()
            go {
                try? far.write(bytes)
                try? far.closeWriting()
            }
            let reader = BufferedReader(near, capacity: 64)
            #expect(try reader.peek(3) == Array(bytes[..<3]))
            #expect(try reader.readByte() == bytes[0])
            #expect(try reader.read(exactly: 5000) == Array(bytes[1..<5001]))
            #expect(try reader.read(exactly: 0) == [])
            let some = try reader.read(upTo: 10)!
            #expect(some.count <= 10 && some == Array(bytes[5001..<(5001 + some.count)]))
            let rest = bytes.count - 5001 - some.count
            #expect(failure { () throws(NetError) in _ = try reader.read(exactly: rest + 1) }?.cause == .unexpectedEnd)
            #expect(failure { () throws(NetError) in _ = try reader.readToEnd(limit: rest - 1) } != nil)
            #expect(try reader.peek(rest + 1).count == rest)
            #expect(try reader.readToEnd(limit: rest) == Array(bytes.suffix(rest)))
            #expect(try reader.read(exactly: 1) == nil && reader.readByte() == nil && reader.read(upTo: 1) == nil)
        }
    }

    @Test func aDeadlineLosesNothing() {
        inGoroutine {
            let (near, far) = try UnixConnection.pair()
            let reader = BufferedReader(near)
            try far.write("hal")
            near.setReadDeadline(Time.now.advanced(by: .milliseconds(5)))
            #expect(failure { () throws(NetError) in _ = try reader.readLine() }?.isTimeout == true)
            near.setReadDeadline(nil)
            try far.write("f\n")
            #expect(try reader.readLine() == "half")
            let (context, cancel) = Context.background.withCancel()
            cancel()
            #expect(failure { () throws(NetError) in _ = try reader.readLine(in: context) }?.isCanceled == true)
        }
    }

    @Test func tasksReadLines() async throws {
        let (near, far) = try UnixConnection.pair()
        let writer = BufferedWriter(far)
        try await writer.write("one\ntwo\n")
        try await writer.write(Array("12345;6".utf8))
        try await writer.flush()
        try far.closeWriting()
        let reader = BufferedReader(near)
        #expect(try await reader.readLine() == "one")
        #expect(try await reader.peek(3) == Array("two".utf8))
        #expect(try await reader.skip(through: 10))
        #expect(try await reader.readByte() == 49)
        #expect(try await reader.read(exactly: 2) == Array("23".utf8))
        #expect(try await reader.read(through: 59) == Array("45;".utf8))
        #expect(try await reader.readToEnd(limit: 10) == Array("6".utf8))
        #expect(try await reader.readLine() == nil)
    }

    @Test func aWriterKeepsWhatIsSmall() {
        inGoroutine {
            let (near, far) = try UnixConnection.pair()
            let writer = BufferedWriter(far, capacity: 100)
            for n in 0..<50 { try writer.write("\(n % 10)") }
            try writer.write([UInt8]())
            #expect(writer.bufferedCount == 50)
            near.setReadDeadline(Time.now)
            #expect(failure { () throws(NetError) in _ = try near.read(upTo: 1) }?.isTimeout == true)
            near.setReadDeadline(nil)
            try writer.flush()
            #expect(writer.bufferedCount == 0)
            #expect(try near.read(upTo: 100)?.count == 50)
            // What does not fit goes out with what was there, in order and at once.
            try writer.write("head")
            try writer.write(pattern(200).span)
            #expect(writer.bufferedCount == 0)
            #expect(try near.readAll(204) == Array("head".utf8) + pattern(200))
            try writer.flush()
        }
    }

    @Test func aWriterThatHasFailedKeepsFailing() {
        inGoroutine {
            let (near, far) = try UnixConnection.pair()
            near.close()
            let writer = BufferedWriter(far)
            try writer.write("x")
            let first = failure { () throws(NetError) in try writer.flush() }
            #expect(first?.isDisconnect == true)
            #expect(failure { () throws(NetError) in try writer.write("y") } == first)
            #expect(failure { () throws(NetError) in try writer.flush() } == first)
        }
    }
}
