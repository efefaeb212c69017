import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

// Programs around the network that need a process to themselves: `net-programs NAME ARGUMENT...`. Each says what it found and exits with status 0, or says
// what is wrong and exits with 1. All traffic is over the loopback, and to ports that the system chose.

// Whoever started us may have signals blocked, as Foundation's threads have, or SIGPIPE ignored.
var signals = sigset_t()
// SAFETY: `signals` lives through the calls.
unsafe sigemptyset(&signals)
_ = unsafe pthread_sigmask(SIG_SETMASK, &signals, nil)
signal(SIGPIPE, SIG_DFL)

let arguments = CommandLine.arguments.dropFirst().map { $0 }
let numbers = arguments.dropFirst().compactMap { UInt64($0) }
switch (arguments.first, numbers.count) {
case ("idle", 2): idle(Int(numbers[0]), seconds: Int(numbers[1]))
case ("idle-clients", 2): idleClients(port: UInt16(numbers[0]), Int(numbers[1]))
case ("faults", 2): faults(seconds: Int(numbers[0]), seed: numbers[1])
case ("exhaustion", 0): exhaustion()
case ("slow-readers", 0): slowReaders()
case ("broken-pipes", 0): brokenPipes()
case ("reused-ports", 0): Goroutine.run { reusedPorts() }
default:
    print(
        """
        usage: net-programs idle CONNECTIONS SECONDS
                            faults SECONDS SEED
                            exhaustion | slow-readers | broken-pipes | reused-ports
        """)
    exit(64)
}
