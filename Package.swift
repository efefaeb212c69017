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
        .package(url: "https://github.com/apple/swift-system", from: "1.6.0")
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
