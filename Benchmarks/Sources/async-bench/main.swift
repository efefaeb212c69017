// Runs one workload in this process and prints its name and its time, as csp-bench does.

import Foundation

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments == ["--list"] {
    for workload in workloads { print(workload.name) }
    exit(0)
}
guard let workload = workloads.first(where: { [$0.name] == arguments }) else {
    FileHandle.standardError.write(Data("usage: async-bench NAME | async-bench --list\n".utf8))
    exit(2)
}
let nanoseconds = await workload.run()
print(workload.name, (nanoseconds * 100).rounded() / 100)
