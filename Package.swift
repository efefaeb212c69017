// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.strictMemorySafety()]

let package = Package(
    name: "swift-csp",
    products: [
        .library(name: "CSP", targets: ["CSP"]),
        .library(name: "CSPNet", targets: ["CSPNet"]),
        // Foundation's Data for CSPNet, whose users need not load Foundation.
        .library(name: "CSPNetFoundation", targets: ["CSPNetFoundation"]),
        // A web server that shows what the scheduler and the goroutines do, and its handlers for other servers.
        .library(name: "CSPDebug", targets: ["CSPDebug"]),
        // The scheduler's metrics for apple/swift-metrics.
        .library(name: "CSPMetrics", targets: ["CSPMetrics"]),
        .executable(name: "csp-top", targets: ["csp-top"]),
        // For test targets only: it needs the toolchain's Testing and XCTest.
        .library(name: "CSPTesting", targets: ["CSPTesting"]),
    ],
    traits: [
        .trait(
            name: "InternalChecks",
            description: "Asserts the runtime's invariants at each lock release; for developing swift-csp itself.")
    ],
    dependencies: [
        // Of CSPNet only: FileDescriptor and Errno.
        .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
        // Of CSPDebug only: its web server.
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.1"),
        // Of CSPMetrics only.
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        // Of csp-top only.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .target(name: "CCSP"),
        .target(
            name: "CSP",
            dependencies: ["CCSP"],
            swiftSettings: strict + [
                .define("INTERNAL_CHECKS", .when(traits: ["InternalChecks"])),
                // For _SelectPlan.Slots, which is not copyable. The language has accepted it since (SE-0503).
                .enableExperimentalFeature("SuppressedAssociatedTypes"),
            ]),
        .target(
            name: "CSPNet",
            dependencies: ["CSP", "CCSP", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .target(name: "CSPNetFoundation", dependencies: ["CSP", "CSPNet"], swiftSettings: strict),
        .target(name: "CSPTesting", dependencies: ["CSP"], swiftSettings: strict),
        .target(
            name: "CSPDebug",
            dependencies: [
                "CSP", .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "FlyingSocks", package: "FlyingFox"),
            ],
            resources: [.embedInCode("Page/page.html")], swiftSettings: strict),
        .target(
            name: "CSPMetrics", dependencies: ["CSP", .product(name: "CoreMetrics", package: "swift-metrics")],
            swiftSettings: strict),
        .executableTarget(
            name: "csp-top",
            dependencies: [
                "CSP", "CSPDebug", "CSPNet", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(name: "tour", dependencies: ["CSP"], swiftSettings: strict),
        .testTarget(name: "CSPTests", dependencies: ["CSP"], swiftSettings: strict),
        .testTarget(
            name: "CSPNetTests",
            dependencies: [
                "CSP", "CSPNet", "CSPNetFoundation", "ProgramRunner", "net-programs",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // What of the network needs a process to itself, or hours.
        .executableTarget(
            name: "net-programs",
            dependencies: ["CSP", "CSPNet", .product(name: "SystemPackage", package: "swift-system")],
            path: "Tests/NetPrograms", swiftSettings: strict),
        .testTarget(
            name: "CSPDebugTests",
            dependencies: [
                "CSP", "CSPDebug", "CSPNet", "ProgramRunner", "csp-top", "debug-programs",
            ],
            swiftSettings: strict),
        // A program with much to see, for tests of what shows it.
        .executableTarget(
            name: "debug-programs", dependencies: ["CSP", "CSPDebug", "CSPNet"], path: "Tests/DebugPrograms",
            swiftSettings: strict),
        .testTarget(
            name: "CSPMetricsTests",
            dependencies: [
                "CSP", "CSPMetrics", .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            swiftSettings: strict),
        .testTarget(name: "CSPTestingTests", dependencies: ["CSP", "CSPTesting"], swiftSettings: strict),
        .testTarget(
            name: "CSPStressTests", dependencies: ["CSP", "CSPTesting", "ProgramRunner", "test-programs"],
            swiftSettings: strict),
        // One program with many faces, chosen by its argument: those that must die, and those that need a process to themselves.
        .executableTarget(
            name: "test-programs", dependencies: ["CSP"], path: "Tests/Programs", swiftSettings: strict),
        .target(name: "ProgramRunner", path: "Tests/ProgramRunner", swiftSettings: strict),
        .testTarget(
            name: "CSPFatalTests", dependencies: ["ProgramRunner", "test-programs"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
