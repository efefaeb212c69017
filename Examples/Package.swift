// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that swift-csp depends on nothing but the toolchain.

let strict: [SwiftSetting] = [.strictMemorySafety()]

let package = Package(
    name: "Examples",
    products: [
        .executable(name: "checksum", targets: ["checksum"]),
        .executable(name: "quotes", targets: ["quotes"]),
        .executable(name: "fetch-many", targets: ["fetch-many"]),
        .executable(name: "show-bug", targets: ["show-bug"]),
        .executable(name: "show-trouble", targets: ["show-trouble"]),
        .executable(name: "net", targets: ["net"]),
    ],
    dependencies: [
        .package(name: "swift-csp", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        .target(
            name: "ChecksumPipeline",
            dependencies: [
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "checksum",
            dependencies: [
                "ChecksumPipeline",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CSP", package: "swift-csp"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ChecksumTests",
            dependencies: ["ChecksumPipeline", "checksum", .product(name: "CSP", package: "swift-csp")],
            swiftSettings: strict),
        .target(
            name: "Troubles", dependencies: [.product(name: "CSP", package: "swift-csp")], swiftSettings: strict),
        .executableTarget(
            name: "show-trouble",
            dependencies: [
                "Troubles", .product(name: "CSP", package: "swift-csp"),
                .product(name: "CSPDebug", package: "swift-csp"),
            ],
            swiftSettings: strict),
        .testTarget(name: "TroublesTests", dependencies: ["Troubles", "show-trouble"], swiftSettings: strict),
        .target(
            name: "QuoteService",
            dependencies: [
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "CSPDebug", package: "swift-csp"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "quotes",
            dependencies: [
                "QuoteService",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "QuoteServiceTests",
            dependencies: [
                "QuoteService",
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ],
            swiftSettings: strict),
        .target(
            name: "ManyRequests",
            dependencies: [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "fetch-many",
            dependencies: [
                "ManyRequests",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ManyRequestsTests", dependencies: ["ManyRequests", "fetch-many"], swiftSettings: strict),
        .target(
            name: "Servers",
            dependencies: [
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "CSPNet", package: "swift-csp"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "net",
            dependencies: [
                "Servers",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(name: "ServersTests", dependencies: ["Servers", "net"], swiftSettings: strict),
        .target(name: "Bugs", dependencies: [.product(name: "CSP", package: "swift-csp")], swiftSettings: strict),
        .executableTarget(
            name: "show-bug",
            dependencies: [
                "Bugs",
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "CSPTesting", package: "swift-csp"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "BugsTests",
            dependencies: [
                "Bugs", "show-bug",
                .product(name: "CSP", package: "swift-csp"),
                .product(name: "CSPTesting", package: "swift-csp"),
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
