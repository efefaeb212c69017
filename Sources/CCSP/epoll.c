#define _GNU_SOURCE
// The poller's system calls on Linux: see Poll/Poller+Epoll.swift.
#include "ccsp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Of the eventfd, which is level-triggered: whoever waits sees it until it is emptied.
enum { INTERRUPTER = 0 };

int csp_epoll_open(int *interrupter) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) return -errno;
    *interrupter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = INTERRUPTER};
    if (*interrupter >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, *interrupter, &event) == 0) return epoll;
    int error = errno;
    if (*interrupter >= 0) close(*interrupter);
    close(epoll);
    return -error;
}

int csp_epoll_watch(int epoll, int descriptor, uint64_t token, uint32_t interest, bool is_new) {
    struct epoll_event event = {.events = EPOLLET, .data.u64 = token};
    if (interest & CSP_POLL_READ) event.events |= EPOLLIN | EPOLLPRI | EPOLLRDHUP;
    if (interest & CSP_POLL_WRITE) event.events |= EPOLLOUT;
    return epoll_ctl(epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event) == 0 ? 0 : errno;
}

void csp_epoll_forget(int epoll, int descriptor) { epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL); }

CSP_UNINSTRUMENTED static int wait_for_events(int epoll, struct epoll_event *events, int capacity, int64_t nanoseconds) {
    // Linux before 5.11 has no epoll_pwait2; a sandbox may refuse it.
    static _Atomic bool is_coarse;
    if (nanoseconds > 0 && !atomic_load_explicit(&is_coarse, memory_order_relaxed)) {
        struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
        int count = (int)syscall(SYS_epoll_pwait2, epoll, events, capacity, &timeout, NULL, 0);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
        atomic_store_explicit(&is_coarse, true, memory_order_relaxed);
    }
    int64_t milliseconds = nanoseconds < 0 ? -1 : (nanoseconds + 999999) / 1000000;
    return epoll_wait(epoll, events, capacity, milliseconds > 1000000000 ? 1000000000 : (int)milliseconds);
}

CSP_UNINSTRUMENTED int csp_epoll_wait(int epoll, int interrupter, csp_poll_event *events, int64_t nanoseconds) {
    struct epoll_event found[CSP_POLL_BATCH];
    int saved = errno;
    int count = wait_for_events(epoll, found, CSP_POLL_BATCH, nanoseconds), kept = 0;
    for (int i = 0; i < count; i++) {
        uint32_t mask = found[i].events;
        if (found[i].data.u64 == INTERRUPTER) {
            // Whoever only looks leaves it for the one who waits.
            uint64_t value;
            ssize_t emptied = nanoseconds != 0 ? read(interrupter, &value, sizeof value) : 0;
            (void)emptied;
            continue;
        }
        uint32_t what = 0;
        if (mask & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) what |= CSP_POLL_READ;
        if (mask & (EPOLLOUT | EPOLLHUP | EPOLLERR)) what |= CSP_POLL_WRITE;
        if (mask & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) what |= CSP_POLL_HANGUP;
        events[kept++] = (csp_poll_event){found[i].data.u64, what};
    }
    errno = saved;
    return kept;
}

bool csp_epoll_has_events(int epoll) {
    struct pollfd look = {.fd = epoll, .events = POLLIN};
    return poll(&look, 1, 0) > 0;
}

void csp_epoll_interrupt(int interrupter) {
    int saved = errno;
    uint64_t one = 1;
    // Fails only when the counter is at its end, and then it is readable anyway.
    ssize_t written = write(interrupter, &one, sizeof one);
    (void)written;
    errno = saved;
}

int csp_accept(int descriptor, void *address, uint32_t *length) {
    return accept4(descriptor, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int csp_open_pipe(int *ends, int size) {
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
    // Refused where many pipes share the user's allowance; it stays at 64 KiB then.
    if (size > 0) fcntl(ends[1], F_SETPIPE_SZ, size);
    return 0;
}

ssize_t csp_splice(int from, int to, size_t count) {
    return splice(from, NULL, to, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

ssize_t csp_send_file(int to, int from, int64_t *offset, size_t count) { return sendfile(to, from, (off_t *)offset, count); }

int csp_open_process(int id) {
    int descriptor = (int)syscall(SYS_pidfd_open, id, 0);
    return descriptor >= 0 ? descriptor : -errno;
}

int csp_reap_process(int descriptor, int *code, bool *was_killed) {
    // P_PIDFD, which older headers lack.
    const idtype_t by_descriptor = (idtype_t)3;
    siginfo_t info = {0};
    while (waitid(by_descriptor, (id_t)descriptor, &info, WEXITED | WNOHANG) != 0)
        if (errno != EINTR) return errno;
    if (info.si_pid == 0) return EAGAIN;
    *code = info.si_status;
    *was_killed = info.si_code != CLD_EXITED;
    return 0;
}

int csp_close(int descriptor) { return close(descriptor) == 0 ? 0 : errno; }

CSP_UNINSTRUMENTED void csp_hold_pipe_signal(csp_pipe_signal *state) {
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &state->before);
    // One that was pending before is somebody else's. If it was not blocked it cannot have been.
    state->was_pending =
        sigismember(&state->before, SIGPIPE) && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

CSP_UNINSTRUMENTED void csp_release_pipe_signal(csp_pipe_signal *state) {
    int saved = errno;
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    struct timespec at_once = {0, 0};
    // The write fails with EPIPE if, and only if, it raises the signal.
    if (saved == EPIPE && !state->was_pending)
        while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &state->before, NULL);
    errno = saved;
}
