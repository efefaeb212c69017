// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "swift-csp-benchmarks",
    dependencies: [
        .package(name: "swift-csp", path: ".."),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.0"),
    ],
    targets: [
        .executableTarget(
            name: "csp-bench",
            dependencies: [.product(name: "CSP", package: "swift-csp")],
            swiftSettings: [.strictMemorySafety()]),
        .executableTarget(
            name: "async-bench",
            dependencies: [.product(name: "AsyncAlgorithms", package: "swift-async-algorithms")],
            swiftSettings: [.strictMemorySafety()]),
        .executableTarget(
            name: "task-bench",
            dependencies: [
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
            ],
            swiftSettings: [.strictMemorySafety()]),
        // For compare-net: a server, the same without goroutines, and the load for both.
        .executableTarget(
            name: "echo-bench",
            dependencies: [
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "CSPNet", package: "swift-csp"),
            ],
            swiftSettings: [.strictMemorySafety()]),
        .executableTarget(name: "epoll-echo"),
        .executableTarget(name: "net-load"),
    ],
    swiftLanguageModes: [.v6]
)
