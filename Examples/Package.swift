// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that swift-csp depends on nothing but the toolchain.

let strict: [SwiftSetting] = [.strictMemorySafety()]

let package = Package(
    name: "Examples",
    products: [
        .executable(name: "checksum", targets: ["checksum"])
    ],
    dependencies: [
        .package(name: "swift-csp", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
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
    ],
    swiftLanguageModes: [.v6]
)
