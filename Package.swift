// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.strictMemorySafety()]

let package = Package(
    name: "swift-csp",
    products: [
        .library(name: "CSP", targets: ["CSP"])
    ],
    traits: [
        .trait(
            name: "InternalChecks",
            description: "Asserts the runtime's invariants at each lock release; for developing swift-csp itself.")
    ],
    targets: [
        .target(name: "CCSP"),
        .target(
            name: "CSP",
            dependencies: ["CCSP"],
            swiftSettings: strict + [.define("INTERNAL_CHECKS", .when(traits: ["InternalChecks"]))]),
        .executableTarget(name: "tour", dependencies: ["CSP"], swiftSettings: strict),
        .testTarget(name: "CSPTests", dependencies: ["CSP"], swiftSettings: strict),
        .testTarget(name: "CSPStressTests", dependencies: ["CSP"], swiftSettings: strict),
        // Programs that must die, one case per command-line argument; CSPFatalTests runs them.
        .executableTarget(
            name: "fatal-cases", dependencies: ["CSP"], path: "Tests/FatalCases", swiftSettings: strict),
        .testTarget(name: "CSPFatalTests", dependencies: ["fatal-cases"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
