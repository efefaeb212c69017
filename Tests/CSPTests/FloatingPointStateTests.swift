import CSP
import Glibc
import Testing

/// The floating-point control words belong to a goroutine, as they belong to a thread.
@Suite struct FloatingPointStateTests {
    /// <fenv.h>'s FE_UPWARD, whose name Swift finds ambiguous.
    #if arch(arm64)
        static let upward: Int32 = 0x40_0000
    #else
        static let upward: Int32 = 0x800
    #endif

    @Test func theRoundingModeStaysWithItsGoroutine() {
        inGoroutine {
            let nearest = fegetround()
            let gate = Channel<Void>()
            let seen = Channel<Int32>()
            // Started before the change, run after it, most likely on the same thread.
            go {
                gate.receive()
                seen <- fegetround()
            }
            let ours = Channel<Int32>()
            go {
                _ = fesetround(Self.upward)
                gate.send(())
                Goroutine.yield()
                Time.sleep(for: .milliseconds(1))
                ours <- fegetround()
                _ = fesetround(nearest)
            }
            #expect((<-seen) == nearest)
            #expect((<-ours) == Self.upward)
            #expect(fegetround() == nearest)
        }
    }
}
