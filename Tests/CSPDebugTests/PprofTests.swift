import CSP
import Foundation
import Testing

import CSPDebug

/// What is below /debug/pprof/. That `go tool pprof` reads it is for Scripts/debug-tools to show; here it is read by a decoder of our own.
@Suite struct PprofTests {
    /// A message's fields in order: numbers, or the bytes of what is longer.
    private struct Message {
        var numbers: [(field: Int, value: UInt64)] = []
        var parts: [(field: Int, bytes: [UInt8])] = []

        init(_ bytes: [UInt8]) throws {
            var rest = bytes[...]
            while !rest.isEmpty {
                let key = try Self.variable(&rest)
                switch key & 7 {
                case 0: numbers.append((Int(key >> 3), try Self.variable(&rest)))
                case 2:
                    let count = Int(try Self.variable(&rest))
                    try #require(count <= rest.count)
                    parts.append((Int(key >> 3), Array(rest.prefix(count))))
                    rest = rest.dropFirst(count)
                default: throw WrongFormat()
                }
            }
        }

        static func variable(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
            var value: UInt64 = 0, shift = 0
            while let byte = rest.popFirst() {
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            throw WrongFormat()
        }

        static func list(_ bytes: [UInt8]) throws -> [UInt64] {
            var rest = bytes[...], values: [UInt64] = []
            while !rest.isEmpty { values.append(try variable(&rest)) }
            return values
        }

        func number(_ field: Int) -> UInt64 { numbers.first { $0.field == field }?.value ?? 0 }
        func messages(_ field: Int) throws -> [Message] {
            try parts.filter { $0.field == field }.map { try Message($0.bytes) }
        }
    }
    private struct WrongFormat: Error {}

    /// As far as we look at it.
    private struct Profile {
        var types: [String] = []
        /// Functions, innermost first; values; labels.
        var samples: [(stack: [String], values: [Int64], labels: [String: String])] = []

        init(_ bytes: [UInt8]) throws {
            let message = try Message(bytes)
            let texts = message.parts.filter { $0.field == 6 }.map { String(decoding: $0.bytes, as: UTF8.self) }
            // As the format wants it.
            try #require(texts.first == "")
            let text = { (place: UInt64) throws -> String in
                try #require(place < texts.count)
                return texts[Int(place)]
            }
            types = try message.messages(1).map { try text($0.number(1)) + "/" + text($0.number(2)) }
            var functions: [UInt64: String] = [:], locations: [UInt64: String] = [:]
            for function in try message.messages(5) { functions[function.number(1)] = try text(function.number(2)) }
            for location in try message.messages(4) {
                #expect(location.number(2) == 1)
                let function = try location.messages(4)[0].number(1)
                locations[location.number(1)] = try #require(functions[function] as String?)
            }
            for sample in try message.messages(2) {
                let ids = try sample.parts.filter { $0.field == 1 }.flatMap { try Message.list($0.bytes) }
                let values = try sample.parts.filter { $0.field == 2 }.flatMap { try Message.list($0.bytes) }
                let labels = try sample.messages(3).map { (try text($0.number(1)), try text($0.number(2))) }
                samples.append(
                    (
                        try ids.map { try #require(locations[$0]) }, values.map { Int64(bitPattern: $0) },
                        Dictionary(labels, uniquingKeysWith: { first, _ in first })
                    ))
            }
        }
    }

    private func get(_ name: String, _ query: String = "") async -> DebugResponse {
        await DebugHandler.respond(method: "GET", path: "/debug/pprof/" + name, query: query)
    }

    @Test func numbersAndTextsAreEncodedAsTheFormatSays() throws {
        var writer = ProtoWriter()
        writer.number(1, 150)
        writer.bytes(2, Array("testing".utf8))
        writer.packed(6, [3, 270, 86942])
        writer.number(7, 0)
        // The examples of protobuf.dev/programming-guides/encoding.
        #expect(
            writer.written
                == [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]
                + [0x32, 0x06, 0x03, 0x8E, 0x02, 0x9E, 0xA7, 0x05])
    }

    // Those whose answers name all that goes on ask a process of its own: looking up in here what other tests do takes minutes.

    /// The answer, once it tells of `function`.
    private func get(_ path: String, from program: RunningProgram, until function: String) async throws -> [UInt8] {
        try await eventually {
            try await send("/debug/pprof/\(path)", to: program.port).body
        } _: {
            String(decoding: $0, as: UTF8.self).contains(function)
        }
    }

    @Test func goroutinesAreCountedByStack() async throws {
        let program = try RunningProgram("100")
        let text = String(
            decoding: try await get("goroutine?debug=1", from: program, until: "\n100 @ 0x"), as: UTF8.self)
        #expect(text.hasPrefix("goroutine profile: total ") && text.contains("\n100 @ 0x"))
        let profile = try Profile(await get("goroutine", from: program, until: "startForgotten"))
        #expect(profile.types == ["goroutine/count"])
        let ours = profile.samples.filter { $0.stack.contains { $0.contains("startForgotten") } }
        #expect(ours.map { $0.values[0] }.reduce(0, +) == 101)
        #expect(ours.allSatisfy { $0.labels["state"] == "chan receive" && $0.stack[0].contains("Channel.receive") })
        let full = try await get("goroutine?debug=2", from: program, until: "startForgotten")
        #expect(String(decoding: full, as: UTF8.self).contains("\n100 goroutines [chan receive"))
        #expect(program.end() == 0)
    }

    @Test(arguments: ["mutex", "block"]) func waitsAreCountedWhenThatIsWanted(_ name: String) async throws {
        let program = try RunningProgram()
        let profile = try Profile(await get(name, from: program, until: "startLocks"))
        #expect(profile.types == ["contentions/count", "delay/nanoseconds"])
        let ours = profile.samples.filter { $0.stack.contains { $0.contains("startLocks") } }
        #expect(!ours.isEmpty && ours.allSatisfy { $0.values[0] > 0 && $0.values[1] > 0 })
        let text = String(decoding: try await get(name + "?debug=1", from: program, until: "startLocks"), as: UTF8.self)
        #expect(text.hasPrefix("--- \(name):\n") && text.contains("startLocks"))
        #expect(program.end() == 0)
    }

    @Test func cpuTimeIsSampled() async throws {
        let program = try RunningProgram("known")
        let profile = try Profile(await get("profile?seconds=1", from: program, until: "fifty"))
        #expect(profile.types == ["samples/count", "cpu/nanoseconds"])
        let ours = profile.samples.filter { $0.stack.contains { $0.contains("fifty") } }
        #expect(!ours.isEmpty && ours.allSatisfy { $0.values[1] == $0.values[0] * 10_000_000 })
        #expect(ours.contains { $0.labels["goroutine"] == "known" })
        #expect(program.end() == 0)
    }

    @Test func threadsHaveBeenStarted() async throws {
        let running = WaitGroup()
        running.go {}
        try await running.wait()
        let profile = try Profile(await get("threadcreate").body)
        #expect(profile.types == ["threadcreate/count"])
        #expect(profile.samples.map { $0.values[0] }.reduce(0, +) >= 1)
    }

    @Test func leaksAreFound() async throws {
        // In a process to itself: the more memory there is, the more addresses are left over in it.
        let program = try RunningProgram("100")
        let text = try await eventually {
            try await send("/debug/pprof/goroutineleak?debug=1", to: program.port).text
        } _: {
            $0.contains("startForgotten")
        }
        #expect(text.hasPrefix("goroutineleak profile: total ") && text.contains("startForgotten"))
        let answer = try await send("/debug/pprof/goroutineleak", to: program.port)
        #expect(try Profile(answer.body).types == ["goroutineleak/count"])
        #expect(program.end() == 0)
    }

    @Test func tracesAreMade() async throws {
        let stop = SharedAtomic(0), running = WaitGroup()
        running.go("traced one") { while stop.load() == 0 { Time.sleep(for: .milliseconds(1)) } }
        let response = await get("trace", "seconds=1")
        stop.store(1)
        try await running.wait()
        #expect(response.status == 200 && response.contentType == "application/json")
        #expect(response.text.contains(" traced one\""))
        let json = try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any]
        #expect(json?["traceEvents"] is [Any])
        #expect(await get("flight").status == 409)
    }

    @Test func mistakesAreTold() async {
        #expect(await get("nothing").status == 404)
        #expect(await get("goroutine", "debug=3").status == 400)
        #expect(await get("profile", "seconds=never").status == 400)
        let index = await get("")
        #expect(index.contentType.hasPrefix("text/html") && index.text.contains("goroutineleak?debug=1"))
    }
}
