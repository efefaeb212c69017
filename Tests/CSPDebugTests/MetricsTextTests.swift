import CSP
import CSPDebug
import Testing

/// Prometheus's text exposition format, 0.0.4, read strictly: what is not in the format is an error.
struct Exposition {
    struct Sample: Equatable {
        let name: String
        let labels: [String: String]
        let value: Double
    }
    struct Family {
        var help: String?
        var type: String?
        var samples: [Sample] = []
    }
    struct Malformed: Error {
        let line: String
    }

    private(set) var families: [String: Family] = [:]

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Malformed(line: String(text.suffix(40))) }
        var current = "", ended: Set<String> = []
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if let match = line.wholeMatch(of: /# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)/) {
                let name = String(match.2)
                if name != current {
                    // All lines of a metric are one group.
                    guard !ended.contains(name) else { throw Malformed(line: String(line)) }
                    ended.insert(current)
                    current = name
                }
                let isRepeated =
                    match.1 == "HELP" ? families[name]?.help != nil : families[name]?.type != nil
                guard !isRepeated, families[name]?.samples.isEmpty ?? true else { throw Malformed(line: String(line)) }
                if match.1 == "HELP" {
                    families[name, default: Family()].help = String(match.3)
                } else {
                    families[name, default: Family()].type = String(match.3)
                }
                continue
            }
            let sample = try Self.sample(line)
            let isOfHistogram = families[current]?.type == "histogram"
            let suffixes = isOfHistogram ? ["_bucket", "_sum", "_count"] : [""]
            guard suffixes.contains(where: { sample.name == current + $0 }) else { throw Malformed(line: String(line)) }
            families[current]!.samples.append(sample)
        }
    }

    private static func sample(_ line: Substring) throws -> Sample {
        var rest = line
        let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") }
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest.removeFirst()
            while rest.first != "}" {
                guard let label = rest.prefixMatch(of: /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)",?/) else {
                    throw Malformed(line: String(line))
                }
                guard labels.updateValue(unescaped(label.2), forKey: String(label.1)) == nil else {
                    throw Malformed(line: String(line))
                }
                rest = rest[label.range.upperBound...]
            }
            rest.removeFirst()
        }
        guard !name.isEmpty, rest.first == " " else { throw Malformed(line: String(line)) }
        let text = String(rest.dropFirst())
        let special = ["+Inf": Double.infinity, "-Inf": -.infinity, "NaN": .nan]
        guard let value = special[text] ?? (text.contains("n") ? nil : Double(text)) else {
            throw Malformed(line: String(line))
        }
        return Sample(name: String(name), labels: labels, value: value)
    }

    private static func unescaped(_ text: Substring) -> String {
        String(text.replacing(/\\(.)/) { $0.1 == "n" ? "\n" : String($0.1) })
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        families[name]?.samples.first { $0.labels == labels }?.value
    }
}

@Suite(.timeLimit(.minutes(5))) struct MetricsTextTests {
    @Test func labelsAndHelpAreEscaped() throws {
        let values = ["plain", "\"quoted\"", "back\\slash", "two\nlines", "\\n", "ünlü \u{1F600}", "", "{}=,#"]
        var text = PrometheusText()
        text.add(.gauge, "things", "Help with \\ and\ntwo lines.", values.map { ([("kind", $0)], 1.5) })
        let exposition = try Exposition(text.text)
        #expect(exposition.families["things"]?.samples.map { $0.labels["kind"] } == values)
        #expect(exposition.families["things"]?.help == "Help with \\\\ and\\ntwo lines.")
        #expect(text.text.contains(#"things{kind="\"quoted\""} 1.5"#) && text.text.contains(#"{kind="two\nlines"}"#))
    }

    @Test func numbersAreExact() throws {
        let values = [0, 1, -1, 0.1, 1e-9, 123_456_789_012, 1e300, .infinity, -.infinity]
        var text = PrometheusText()
        text.add(.gauge, "n", "Numbers.", values.enumerated().map { ([("i", "\($0.offset)")], $0.element) })
        #expect(try Exposition(text.text).families["n"]?.samples.map(\.value) == values)
        #expect(text.text.contains("n{i=\"1\"} 1\n"))
    }

    @Test func histogramsAreCumulative() throws {
        var text = PrometheusText()
        text.addHistogram(
            "wait_seconds", "Waits.", bounds: [.microseconds(1), .milliseconds(2), .seconds(3)], counts: [4, 0, 5, 6],
            sum: .milliseconds(1500))
        let exposition = try Exposition(text.text)
        #expect(exposition.families["wait_seconds"]?.type == "histogram")
        let buckets = exposition.families["wait_seconds"]!.samples.filter { $0.name.hasSuffix("_bucket") }
        #expect(buckets.map { $0.labels["le"] } == ["1e-06", "0.002", "3", "+Inf"])
        #expect(buckets.map(\.value) == [4, 4, 9, 15])
        #expect(exposition.families["wait_seconds"]!.samples.suffix(2).map(\.value) == [1.5, 15])
    }

    @Test func whatTheSchedulerDoesIsThere() async throws {
        let server = try DebugServer.start(port: 0)
        let waiters = Waiters(40, named: "for metrics")
        let answer = try await eventually {
            await respond("/metrics")
        } _: { answer in
            let exposition = try? Exposition(answer.text)
            return exposition?.value("csp_goroutines", ["state": "chan receive"]) ?? 0 >= 40
        }
        try await waiters.end()
        await server.stop()
        #expect(answer.status == 200 && answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        let exposition = try Exposition(answer.text)
        for (name, family) in exposition.families {
            #expect(name.hasPrefix("csp_") && family.help?.isEmpty == false && !family.samples.isEmpty, "\(name)")
            #expect((family.type == "counter") == name.hasSuffix("_total"), "\(name)")
        }
        #expect(exposition.value("csp_goroutines", ["state": "chan receive"])! >= 40)
        #expect(exposition.value("csp_goroutines", ["state": "running"]) != nil)
        #expect(exposition.value("csp_goroutines_started_total")! >= 40)
        // As many as there were: the stress tests change their number.
        let processors = Int(try #require(exposition.value("csp_processors")))
        #expect(processors >= 1)
        #expect(exposition.families["csp_run_queue_length"]?.samples.count == processors)
        #expect(exposition.families["csp_switches_total"]?.samples.count == processors)
        for name in [
            "csp_steals_total", "csp_wakeups_total", "csp_hand_offs_total", "csp_threads", "csp_timers",
            "csp_polled_descriptors", "csp_stack_bytes", "csp_contentions_total", "csp_contention_seconds_total",
            "csp_global_run_queue_length",
        ] { #expect(exposition.value(name) != nil, "\(name)") }
        let latency = try #require(exposition.families["csp_scheduling_latency_seconds"])
        let buckets = latency.samples.filter { $0.name.hasSuffix("_bucket") }.map(\.value)
        #expect(buckets == buckets.sorted() && buckets.last == latency.samples.last?.value)
    }
}
