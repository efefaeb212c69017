import Foundation

/// For what blocks: inspecting goroutines takes milliseconds, and must neither hold up Swift's own threads nor need a processor.
enum OwnThread {
    static func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
        await withCheckedContinuation { continuation in
            let thread = Thread { continuation.resume(returning: body()) }
            thread.name = "csp-debug"
            // Debug information takes deep stacks to read.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }
}
