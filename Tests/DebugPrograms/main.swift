import CSP
import CSPDebug
import CSPNet
import Foundation

// A program with much to see: some hundred goroutines in waits of all kinds, and some that compute.
//
//   debug-programs [EXTRA]     with so many more that just wait
//   debug-programs stuck       with nothing but goroutines that compute for good
//   debug-programs deadlocked  with nothing but goroutines that wait for each other
//   debug-programs known       with one that spends 50, 30 and 20 % of its time in three functions
//
// Prints its server's port on a line, and goes on until its standard input ends.

let argument = CommandLine.arguments.dropFirst().first
let server: DebugServer
do { server = try DebugServer.start(port: 0) } catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
Scheduler.blockProfilePeriod = .microseconds(10)
Scheduler.mutexProfileFraction = 1
switch argument {
case "stuck": startStuck()
case "deadlocked": startDeadlocked()
case "known": startKnown()
default:
    startOrders()
    startLocks()
    startConnections()
    startComputing()
    startSleepers()
    startForgotten(argument.flatMap { Int($0) } ?? 0)
}
FileHandle.standardOutput.write(Data("\(server.port)\n".utf8))

// Whoever started this may be killed; then it ends, too.
while let line = readLine() {
    // Named goroutines that come and go on demand.
    if line == "more" { startForgotten(50) }
}
server.stop()
exit(0)
