#define _GNU_SOURCE
// SIGQUIT: a thread that sleeps until then prints the dump, since nothing of that may be done in a signal handler.
#include "ccsp.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static uint32_t asked;
static pid_t process;
static void (*print_and_exit)(void);

static void on_sigquit(int signal) {
    int saved = errno;
    // A child of this process that goes on without exec has no such thread.
    if (getpid() != process) {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(signal, &standard, NULL);
        raise(signal);
        return;
    }
    // The second one will not wait for the dump.
    if (__atomic_exchange_n(&asked, 1, __ATOMIC_ACQ_REL)) _exit(2);
    csp_futex_wake(&asked, 1);
    errno = saved;
}

static void wait_for_request(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) csp_futex_wait(&asked, 0, -1);
    print_and_exit();
}

// Swift's backtracer takes SIGQUIT for a crash like any other, with one handler for all. It is not the program's own.
static bool is_backtracer(const struct sigaction *action) {
    static const int crashes[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    Dl_info handler, swift;
    if (!(action->sa_flags & SA_SIGINFO) || !dladdr((void *)action->sa_sigaction, &handler)) return false;
    if (!dladdr(csp_in_swift_core(), &swift) || handler.dli_fbase != swift.dli_fbase) return false;
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        struct sigaction before;
        csp_action_before(crashes[i], &before);
        if (before.sa_sigaction != action->sa_sigaction) return false;
    }
    return true;
}

void csp_install_quit_handler(void (*dump)(void)) {
    struct sigaction now;
    if (sigaction(SIGQUIT, NULL, &now) != 0) return;
    if (((now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL) && !is_backtracer(&now)) return;
    print_and_exit = dump;
    process = getpid();
    if (csp_thread_start(CSP_DUMP_STACK_SIZE, "csp-dump", wait_for_request, NULL) != 0) return;
    csp_count_own_thread(1);
    struct sigaction action = {.sa_handler = on_sigquit, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGQUIT, &action, NULL);
}
