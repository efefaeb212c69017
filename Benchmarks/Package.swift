// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "swift-csp-benchmarks",
    dependencies: [
        .package(name: "swift-csp", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "csp-bench",
            dependencies: [.product(name: "CSP", package: "swift-csp")],
            swiftSettings: [.strictMemorySafety()])
    ],
    swiftLanguageModes: [.v6]
)
