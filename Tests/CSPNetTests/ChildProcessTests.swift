import CSP
import CSPNet
import Glibc
import SystemPackage
import Testing

@Suite struct ChildProcessTests {
    /// Starts a shell with that command.
    private func start(_ command: String) throws -> ChildProcess {
        var id: pid_t = 0
        let texts = ["sh", "-c", command]
        let words = unsafe texts.map { unsafe strdup($0) }
        defer { unsafe words.forEach { unsafe free($0) } }
        var arguments = unsafe words + [nil]
        let error = unsafe posix_spawn(&id, "/bin/sh", nil, nil, &arguments, nil)
        if error != 0 { throw Errno(rawValue: error) }
        return ChildProcess(id: id)
    }

    @Test func itsEndIsWaitedFor() {
        inGoroutine {
            #expect(try start("exit 7").wait() == .exited(7))
            let status = try start("exit 0").wait()
            #expect(status.isSuccess)
            let child = try start("kill -9 $$")
            #expect(try child.wait() == .killed(signal: SIGKILL))
            let error = failure { () throws(NetError) in _ = try child.wait() }
            #expect(error?.errno == .noChildProcess && error?.operation == .wait)
        }
    }

    @Test func whoWaitsIsParked() {
        inGoroutine {
            // Ends when its standard input does.
            let (reading, writing) = try FileDescriptor.pipe()
            let child = try start("read line </proc/self/fd/\(reading.rawValue); exit 3")
            let got = Channel<ChildProcess.Status?>()
            go("waiting for a child") { got <- try? child.wait() }
            #expect(eventually { isParked("waiting for a child") })
            try writing.writeAll(Array("x\n".utf8))
            #expect((<-got) == .some(.exited(3)))
            try reading.close()
            try writing.close()
        }
    }

    @Test func aContextEndsTheWaitAndNotTheChild() async throws {
        let child = try start("sleep 100")
        inGoroutine {
            let error = failure { () throws(NetError) in
                _ = try Context.background.withTimeout(.milliseconds(5)) { context throws(NetError) in
                    try child.wait(in: context)
                }
            }
            #expect(error?.isTimeout == true)
        }
        kill(child.id, SIGTERM)
        #expect(try await child.wait() == .killed(signal: SIGTERM))
    }

    @Test func whatIsNoChildIsRefused() {
        inGoroutine {
            #expect(
                failure { () throws(NetError) in _ = try ChildProcess(id: getppid()).wait() }?.errno == .noChildProcess)
            #expect(failure { () throws(NetError) in _ = try ChildProcess(id: -1).wait() }?.errno == .invalidArgument)
        }
    }
}
