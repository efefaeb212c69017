#define _GNU_SOURCE
// CPU profiles: each thread has a timer of its own CPU time, whose signal looks at the thread's stack by its frame pointers.
#include "ccsp.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RACY CSP_UNINSTRUMENTED

// A place for samples in order. `head` is moved by handlers, `tail` by the taker. A place is claimed by moving `head` past it while it is FREE, filled by
// the claimant, and FREE again once it is taken: a full place at `head` means that there is no room, and the sample is lost and counted.
enum { PLACES = 8192, FREE = 0, FILLING, FULL };
typedef struct {
    uint32_t state;
    csp_sample sample;
} place_t;
static place_t *places;
static uint64_t head, tail, lost, refused;
static uint32_t active;
static size_t id_offset_of_goroutine;

typedef struct {
    int32_t thread;
    int timer;
    bool seen;
} timed_thread;
static timed_thread *threads;
static size_t thread_count, thread_capacity;
static int64_t period;

RACY static void on_sigprof(int signal, siginfo_t *info, void *context) {
    (void)signal;
    if (!__atomic_load_n(&active, __ATOMIC_ACQUIRE)) return;
    int saved = errno;
    uint32_t weight = info->si_code == SI_TIMER && info->si_overrun > 0 ? 1 + (uint32_t)info->si_overrun : 1;
    uint64_t mine = __atomic_load_n(&head, __ATOMIC_RELAXED);
    place_t *place;
    uint32_t expected;
    do {
        place = &places[mine % PLACES];
        if (__atomic_load_n(&place->state, __ATOMIC_ACQUIRE) != FREE) goto full;
    } while (!__atomic_compare_exchange_n(&head, &mine, mine + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    // Fails only if a whole round of others has come in between.
    expected = FREE;
    if (!__atomic_compare_exchange_n(&place->state, &expected, FILLING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) goto full;
    csp_sample *sample = &place->sample;
    uintptr_t pc, fp, sp, bottom;
    size_t size;
    csp_interrupted_at(context, &pc, &fp, &sp);
    sample->weight = weight;
    sample->trace.count = sample->trace.omitted = 0;
    sample->goroutine = csp_slot_at(sp, &bottom, &size);
    // As if the interrupted instruction were before a return address.
    if (sample->goroutine) {
        sample->goroutine_id = csp_peek_64((const char *)sample->goroutine + id_offset_of_goroutine);
        uintptr_t low = sp > bottom + CSP_GUARD_SIZE ? sp : bottom + CSP_GUARD_SIZE;
        csp_walk_stack(pc + 1, fp, low, bottom + size, &sample->trace);
    } else {
        sample->goroutine_id = 0;
        csp_walk_unbounded(pc + 1, fp, sp, &sample->trace);
    }
    __atomic_store_n(&place->state, FULL, __ATOMIC_RELEASE);
    errno = saved;
    return;
full:
    __atomic_fetch_add(&lost, weight, __ATOMIC_RELAXED);
    errno = saved;
}

int csp_profile_begin(uint32_t hertz, size_t id_offset) {
    struct sigaction action = {0}, before;
    if (sigaction(SIGPROF, NULL, &before) != 0) return errno;
    bool is_ours = (before.sa_flags & SA_SIGINFO) && before.sa_sigaction == on_sigprof;
    if (!is_ours && ((before.sa_flags & SA_SIGINFO) || (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN))) return EBUSY;
    if (!places) places = csp_immortal_memory(PLACES * sizeof *places);
    if (!places) return ENOMEM;
    action.sa_sigaction = on_sigprof;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigfillset(&action.sa_mask);
    // It stays: a signal that comes late would end the process otherwise.
    if (sigaction(SIGPROF, &action, NULL) != 0) return errno;
    period = 1000000000 / hertz;
    id_offset_of_goroutine = id_offset;
    lost = refused = 0;
    __atomic_store_n(&active, 1, __ATOMIC_RELEASE);
    csp_profile_threads();
    return 0;
}

// A thread's own CPU clock, as Linux numbers them (include/linux/posix-timers_types.h).
static clockid_t cpu_clock(int32_t thread) { return (clockid_t)(~(uint32_t)thread << 3 | 6); }

static bool start_timer(int32_t thread, int *timer) {
    struct sigevent event = {0};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
#ifdef sigev_notify_thread_id
    event.sigev_notify_thread_id = thread;
#else
    event._sigev_un._tid = thread;
#endif
    if (syscall(SYS_timer_create, cpu_clock(thread), &event, timer) != 0) return false;
    // Not all at the same time.
    int64_t first = 1 + (int64_t)(csp_random() % (uint64_t)period);
    struct itimerspec times = {
        {period / 1000000000, period % 1000000000},
        {first / 1000000000, first % 1000000000},
    };
    if (syscall(SYS_timer_settime, *timer, 0, &times, NULL) == 0) return true;
    syscall(SYS_timer_delete, *timer);
    return false;
}

static void note_thread(int32_t thread) {
    for (size_t i = 0; i < thread_count; i++) {
        if (threads[i].thread == thread) {
            threads[i].seen = true;
            return;
        }
    }
    if (thread_count == thread_capacity) {
        size_t capacity = thread_capacity ? 2 * thread_capacity : 64;
        timed_thread *more = realloc(threads, capacity * sizeof *more);
        if (!more) return;
        threads = more;
        thread_capacity = capacity;
    }
    timed_thread new = {thread, 0, true};
    if (start_timer(thread, &new.timer)) {
        threads[thread_count++] = new;
    } else if (errno != ESRCH && errno != EINVAL) {
        // EINVAL: the thread has ended.
        refused++;
    }
}

int csp_profile_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) {
        note_thread(csp_thread_id());
        return (int)thread_count;
    }
    for (size_t i = 0; i < thread_count; i++) threads[i].seen = false;
    struct dirent *entry;
    while ((entry = readdir(tasks))) {
        int32_t thread = (int32_t)strtol(entry->d_name, NULL, 10);
        if (thread > 0) note_thread(thread);
    }
    closedir(tasks);
    for (size_t i = 0; i < thread_count;) {
        if (threads[i].seen) {
            i++;
        } else {
            syscall(SYS_timer_delete, threads[i].timer);
            threads[i] = threads[--thread_count];
        }
    }
    return (int)thread_count;
}

bool csp_profile_take(csp_sample *sample) {
    place_t *place = &places[tail % PLACES];
    if (__atomic_load_n(&place->state, __ATOMIC_ACQUIRE) != FULL) return false;
    *sample = place->sample;
    // A search must not take it for a goroutine that somebody knows.
    place->sample.goroutine = NULL;
    __atomic_store_n(&place->state, FREE, __ATOMIC_RELEASE);
    tail++;
    return true;
}

void csp_profile_losses(uint64_t *samples, uint64_t *timers) {
    *samples = __atomic_load_n(&lost, __ATOMIC_RELAXED);
    *timers = refused;
}

void csp_profile_end(void) {
    for (size_t i = 0; i < thread_count; i++) syscall(SYS_timer_delete, threads[i].timer);
    free(threads);
    threads = NULL;
    thread_count = thread_capacity = 0;
    __atomic_store_n(&active, 0, __ATOMIC_RELEASE);
}
