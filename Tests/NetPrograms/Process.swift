import CSP
import SystemPackage

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Says what is wrong, and ends the process.
func fail(_ words: String) -> Never {
    _ = try? FileDescriptor.standardError.writeAll("net-programs: \(words)\n".utf8)
    exit(1)
}

/// The value of `body`, which must not fail.
func must<T, E: Error>(_ body: () throws(E) -> T) -> T {
    do { return try body() } catch { fail("\(error)") }
}

func residentKilobytes() -> Int {
    // SAFETY: a file of our own, closed at the end; the line lives through each call, and is terminated.
    guard let file = unsafe fopen("/proc/self/status", "r") else { return -1 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        if text.hasPrefix("VmRSS:") { return Int(text.split(whereSeparator: { !$0.isNumber })[0]) ?? -1 }
    }
    return -1
}

/// The open descriptors and what they are, but for the one that looks.
func openDescriptors() -> [String] {
    // SAFETY: a directory stream of our own, closed at the end; names and links are terminated, and live through each call.
    guard let directory = unsafe opendir("/proc/self/fd") else { fail("/proc/self/fd: error \(errno)") }
    defer { unsafe closedir(directory) }
    var all: [String] = []
    while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard let number = Int32(name), unsafe dirfd(directory) != number else { continue }
        var target = [CChar](repeating: 0, count: 256)
        _ = unsafe readlink("/proc/self/fd/\(name)", &target, 255)
        all.append(
            "\(number) \(String(decoding: target.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))")
    }
    return all
}

/// How much processor time this process has used, and how often its threads were switched.
struct Usage {
    let microseconds: Int
    let switches: Int

    init() {
        var usage = rusage()
        // SAFETY: `usage` lives through the call.
        _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        microseconds = seconds * 1_000_000 + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        switches = usage.ru_nvcsw + usage.ru_nivcsw
    }
}

/// Lets this process have so many descriptors, or as many as it may have (nil). Returns how many.
@discardableResult
func limitDescriptors(to count: Int?) -> Int {
    var limit = rlimit()
    // SAFETY: `limit` lives through the calls.
    _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = count.map { min(rlim_t($0), limit.rlim_max) } ?? limit.rlim_max
    if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
        fail("setrlimit: error \(errno)")
    }
    return Int(limit.rlim_cur)
}

/// Waits until `condition` holds; false when it still does not after `seconds`.
func eventually(within seconds: Int = 10, _ condition: () -> Bool) -> Bool {
    let end = Time.now.advanced(by: .seconds(seconds))
    while !condition() {
        if Time.now > end { return condition() }
        Time.sleep(for: .milliseconds(1))
    }
    return true
}

/// A task that runs in goroutines. What others run on, libdispatch, ends the process when it finds no descriptor to begin with, or to look at its
/// threads in /proc, which it does every second.
func startTask(_ body: sending @escaping @isolated(any) () async -> Void) -> Task<Void, Never> {
    Task(executorPreference: Scheduler.taskExecutor, operation: body)
}
