#define _GNU_SOURCE
// Signals that contexts wait for. The handler only sets a bit and wakes the thread that waits for it.
#include "ccsp.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

static _Atomic uint64_t pending;
// The futex: 1 when there may be something.
static _Atomic uint32_t notified;
static struct sigaction before[64];

static void notify(void) {
    atomic_store(&notified, 1);
    csp_futex_wake((const uint32_t *)&notified, 1);
}

static void handle(int signal) {
    int saved = errno;
    atomic_fetch_or(&pending, (uint64_t)1 << (signal - 1));
    notify();
    errno = saved;
}

int csp_signal_catch(int signal) {
    atomic_fetch_and(&pending, ~((uint64_t)1 << (signal - 1)));
    struct sigaction action = {0};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    return sigaction(signal, &action, &before[signal - 1]) == 0 ? 0 : errno;
}

void csp_signal_release(int signal) {
    struct sigaction now;
    if (sigaction(signal, NULL, &now) != 0 || now.sa_handler != handle) return;
    sigaction(signal, &before[signal - 1], NULL);
}

uint64_t csp_signal_wait(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    // A bit set before this exchange is seen below; one set after it makes the futex 1 again.
    while (atomic_exchange(&notified, 0) == 0) csp_futex_wait((const uint32_t *)&notified, 0, -1);
    return atomic_exchange(&pending, 0);
}

void csp_signal_interrupt(void) { notify(); }
