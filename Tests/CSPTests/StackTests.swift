import CSP
import Testing

@Suite struct StackTests {
    /// Recurses until the stack has grown by `bytes`; the number of frames it took, each checked on the way back.
    static func descend(_ bytes: UInt) -> Int {
        // Large frames for large stacks: ThreadSanitizer keeps 65,536 of a thread's at the most.
        bytes < 2 * mebibyte
            ? descend(bytes, InlineArray<64, UInt>(repeating: 1), from: 0)
            : descend(bytes, InlineArray<1024, UInt>(repeating: 1), from: 0)
    }

    @inline(never)
    private static func descend<Filler: BitwiseCopyable>(_ bytes: UInt, _ filler: Filler, from top: UInt) -> Int {
        var marker: (UInt, UInt, UInt, UInt, Filler) = (0, 0, 0, 0, filler)
        return unsafe withUnsafeMutablePointer(to: &marker) { marker in
            let here = UInt(bitPattern: marker)
            let top = top == 0 ? here : top
            unsafe (marker.pointee.0, marker.pointee.1, marker.pointee.2, marker.pointee.3) = (here, top, ~here, ~top)
            let frames = top - here >= bytes ? 1 : descend(bytes, filler, from: top) + 1
            let intact = unsafe marker.pointee.0 == here && marker.pointee.3 == ~top
            return intact ? frames : -1_000_000_000
        }
    }

    static let kibibyte: UInt = 1 << 10
    static let mebibyte: UInt = 1 << 20

    @Test func theDefaultStackHoldsModerateRecursion() {
        // Under AddressSanitizer each takes 2 KiB.
        #expect(Goroutine.run { Self.descend(180 * Self.kibibyte) } > 50)
    }

    @Test(arguments: [1, 2, 16, 64, 128])
    func aBigStackHoldsDeepRecursion(mebibytes: Int) {
        // Signal handling, the guard and the first frames take their part.
        let usable = UInt(mebibytes) * Self.mebibyte - 64 * Self.kibibyte
        #expect(Goroutine.run(stackSize: mebibytes << 20) { Self.descend(usable) } > 100)
    }

    @Test(arguments: [300_000, (1 << 20) - 1, (1 << 20) + 1, 5_000_000, 33 << 20])
    func theSizeIsRoundedUpToAPowerOfTwo(size: Int) {
        var rounded: UInt = 1
        while rounded < UInt(size) { rounded *= 2 }
        let usable = rounded - 64 * Self.kibibyte
        #expect(Goroutine.run(stackSize: size) { Self.descend(usable) } > 100)
    }

    @Test func deepStacksAreReusedOneAfterAnother() {
        inGoroutine {
            for _ in 0..<30 {
                #expect(Goroutine.run(stackSize: 16 << 20) { Self.descend(15 * Self.mebibyte) } > 100)
            }
        }
    }

    @Test func manyDeepStacksStandSideBySide() {
        inGoroutine {
            let gate = Channel<Never>()
            let frames = Channel<Int>(capacity: 32)
            for _ in 0..<32 {
                go(stackSize: 4 << 20) {
                    let before = Self.descend(3 * Self.mebibyte)
                    gate.receive()
                    frames <- min(before, Self.descend(3 * Self.mebibyte))
                }
            }
            settle()
            gate.close()
            for _ in 0..<32 { #expect((<-frames)! > 100) }
        }
    }

    @Test func aParkDeepDownKeepsEveryFrame() {
        inGoroutine {
            let gate = Channel<Int>()
            let results = Channel<Int>()
            /// Receives at the bottom; what it returns depends on each frame's own value.
            @Sendable func sum(_ levels: Int) -> Int {
                if levels == 0 { return gate.receive()! }
                let own = levels
                let below = sum(levels - 1)
                return below + own
            }
            for _ in 0..<100 { go { results <- sum(200) } }
            for n in 0..<100 { gate <- n * 1_000_000 }
            var total = 0
            for _ in 0..<100 { total += results.receive()! }
            #expect(total == 100 * (200 * 201 / 2) + (0..<100).reduce(0, +) * 1_000_000)
        }
    }

    @Test func goAndWaitGroupGoTakeAStackSize() {
        inGoroutine {
            let finished = WaitGroup()
            let frames = SharedAtomic(0)
            finished.go("deep", stackSize: 8 << 20) { frames.store(Self.descend(7 * Self.mebibyte)) }
            finished.wait()
            #expect(frames.load() > 100)
        }
    }
}
