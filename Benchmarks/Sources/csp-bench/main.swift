// Runs one workload in this process and prints its name and its time; go/ holds the Go twin.

import CSP
import Foundation

func usage() -> Never {
    FileHandle.standardError.write(
        Data("usage: csp-bench NAME [--procs N] [--operations N] | csp-bench --list\n".utf8))
    exit(2)
}

var arguments = Array(CommandLine.arguments.dropFirst())
if arguments == ["--list"] {
    for workload in workloads { print(workload.name) }
    exit(0)
}
guard let workload = workloads.first(where: { $0.name == arguments.first }) else { usage() }
var operations = workload.operations
arguments.removeFirst()
while arguments.count >= 2, let number = Int(arguments[1]), number > 0 {
    switch arguments[0] {
    case "--procs": Scheduler.maxProcs = number
    case "--operations" where operations != nil: operations = number
    default: usage()
    }
    arguments.removeFirst(2)
}
guard arguments.isEmpty else { usage() }

let count = operations ?? 1
let nanoseconds =
    workload.onMainThread ? workload.run(count) : Goroutine.run { [workload, count] in workload.run(count) }
print(workload.name, (nanoseconds * 100).rounded() / 100)
