// Runs one workload in this process and prints its name and its time; go/ holds the Go twin.

import CSP
import Foundation

func usage() -> Never {
    FileHandle.standardError.write(Data("usage: csp-bench NAME [--procs N] | csp-bench --list\n".utf8))
    exit(2)
}

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments == ["--list"] {
    for workload in workloads { print(workload.name) }
    exit(0)
}
if arguments.count == 3, arguments[1] == "--procs", let processors = Int(arguments[2]), processors > 0 {
    Scheduler.maxProcs = processors
} else if arguments.count != 1 {
    usage()
}
guard let workload = workloads.first(where: { $0.name == arguments.first }) else { usage() }

let nanoseconds = workload.onMainThread ? workload.run() : Goroutine.run { [workload] in workload.run() }
print(workload.name, (nanoseconds * 100).rounded() / 100)
