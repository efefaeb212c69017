import Foundation
import ProgramRunner
import Testing

/// `Context.notify` and `Signals.notify`: signals change what a whole process does, so each test has one of its own.
@Suite struct SignalTests {
    @Test func aSignalCancelsWithItselfAsTheCause() throws {
        let ending = try program("notify")
        #expect(ending.output == "error context canceled\ncause terminated signal received\nsignal \(SIGTERM)\n")
        #expect(ending.bySignal && ending.status == SIGINT)
    }

    @Test func severalContextsOnOneSignal() throws {
        let ending = try program("notify-several")
        #expect(ending.output == "other 0\nignored 1\nsignal 0\n")
        #expect(ending.bySignal && ending.status == SIGUSR2)
    }

    @Test func aContextThatIsDroppedLeavesTheSignal() throws {
        let ending = try program("notify-dropped")
        #expect(ending.bySignal && ending.status == SIGINT)
    }

    @Test func theParentsEndIsItsEnd() throws {
        let ending = try program("notify-below")
        #expect(ending.output == "cause context canceled\n")
        #expect(ending.bySignal && ending.status == SIGINT)
    }

    @Test func manySignalsBesideContextsThatComeAndGo() throws {
        let ending = try program("notify-storm")
        #expect(ending.output == "rounds 800\nall 1\n")
        #expect(!ending.bySignal && ending.status == 0)
    }

    @Test func channelsGetSignals() throws {
        let ending = try program("notify-channels")
        #expect(ending.output == "one 1 both 1\ntwo 1\nleft 1\nclosed 1\n", "\(ending)")
        #expect(ending.bySignal && ending.status == SIGUSR1)
    }

    @Test func manySignalsBesideChannelsThatComeAndGo() throws {
        let ending = try program("notify-channels-storm")
        #expect(ending.output == "rounds 1600\n")
        #expect(!ending.bySignal && ending.status == 0)
    }

    @Test func aChannelOfNoSignalTraps() throws {
        let ending = try program("notify-channel-of-none")
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("panic: Signals.notify: signal 65 cannot be waited for\n"))
    }

    @Test(arguments: [("notify-of-a-fault", SIGSEGV), ("notify-of-none", 0)])
    func whatCannotBeWaitedForTraps(_ name: String, _ signal: Int32) throws {
        let ending = try program(name)
        #expect(ending.bySignal)
        #expect(ending.errors.hasPrefix("panic: Context.notify: signal \(signal) cannot be waited for\n"))
    }
}
