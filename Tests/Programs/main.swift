import CSP

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

// One process, one face: `test-programs NAME`. The tests that run them say what each must print and how it must end.

var limit = rlimit(rlim_cur: 0, rlim_max: 0)
// SAFETY: `limit` lives through the call. A test that must die leaves no core file.
_ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)

// Whoever started us may have signals blocked, as Foundation's threads have.
var signals = sigset_t()
// SAFETY: `signals` lives through the calls.
unsafe sigemptyset(&signals)
_ = unsafe pthread_sigmask(SIG_SETMASK, &signals, nil)

let programs = [
    fatalPrograms, measuringPrograms, dumpPrograms, schedulerPrograms, signalPrograms, racePrograms, addressPrograms,
    leakPrograms, watchPrograms,
].reduce(into: [:]) { all, some in all.merge(some) { first, _ in first } }
guard CommandLine.arguments.count == 2, let program = programs[CommandLine.arguments[1]] else {
    print("usage: test-programs NAME; the names are:", programs.keys.sorted().joined(separator: " "))
    exit(64)
}
program()
