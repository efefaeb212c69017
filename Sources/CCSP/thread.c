#define _GNU_SOURCE
#include "ccsp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint32_t *csp_event_make(void) { return calloc(1, sizeof(uint32_t)); }
void csp_event_signal(uint32_t *event) {
    __atomic_store_n(event, 1, __ATOMIC_RELEASE);
    csp_futex_wake(event, INT_MAX);
}
void csp_event_wait(uint32_t *event) {
    while (!__atomic_load_n(event, __ATOMIC_ACQUIRE)) csp_futex_wait(event, 0, -1);
}
void csp_event_free(uint32_t *event) { free(event); }

void csp_sleep(int64_t nanoseconds) {
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&time, NULL);
}

CSP_UNINSTRUMENTED void csp_futex_wait(const uint32_t *word, uint32_t expected, int64_t nanoseconds) {
    struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nanoseconds < 0 ? NULL : &timeout, NULL, 0);
    errno = saved;
}

CSP_UNINSTRUMENTED void csp_futex_wake(const uint32_t *word, int count) {
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

csp_lock_table_t csp_lock_table;

__attribute__((constructor)) static void register_membarrier(void) {
    // CSP_MEMBARRIER=off: do as if the kernel refused it.
    const char *knob = getenv("CSP_MEMBARRIER");
    csp_lock_table.asymmetric = (!knob || strcmp(knob, "off") != 0) && csp_membarrier_register();
    for (int i = 0; i < CSP_LOCK_BUCKETS && !csp_lock_table.asymmetric; i++) csp_lock_table.sleepers[i] = CSP_LOCK_BIAS;
}

bool csp_membarrier_register(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void csp_membarrier(void) {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
    static const char message[] = "fatal error: the kernel refuses membarrier, which it has allowed before; set CSP_MEMBARRIER=off, or install "
                                  "the seccomp filter before the program starts\n";
    csp_write_error(message, sizeof message - 1);
    csp_trap();
}

typedef struct {
    void (*body)(void *);
    void *argument;
    char name[16];
} start_t;

static void *run_thread(void *opaque) {
    start_t start = *(start_t *)opaque;
    free(opaque);
    pthread_setname_np(pthread_self(), start.name);
    csp_enlist_thread((uintptr_t)__builtin_frame_address(0));
    start.body(start.argument);
    csp_strike_thread();
    return NULL;
}

int csp_thread_start(size_t stack_size, const char *name, void (*body)(void *), void *argument) {
    start_t *start = malloc(sizeof *start);
    if (!start) return ENOMEM;
    *start = (start_t){body, argument, {0}};
    strncpy(start->name, name, sizeof start->name - 1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_size);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, run_thread, start);
    pthread_attr_destroy(&attributes);
    if (error) free(start);
    return error;
}

typedef struct {
    void (*body)(void *);
    void *argument;
} call_t;

static void *run_call(void *opaque) {
    call_t *call = opaque;
    call->body(call->argument);
    return NULL;
}

int csp_thread_run(size_t stack_size, void (*body)(void *), void *argument) {
    call_t call = {body, argument};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, run_call, &call);
    pthread_attr_destroy(&attributes);
    return error ? error : pthread_join(thread, NULL);
}

int32_t csp_own_thread_count;

int32_t csp_process_threads(void) {
    // The kernel counts each thread as a link of this folder: proc_task_getattr in fs/proc/base.c.
    struct stat status;
    return stat("/proc/self/task", &status) == 0 && status.st_nlink > 2 ? (int32_t)status.st_nlink - 2 : 0;
}

int64_t csp_thread_cpu_time(int32_t thread) {
    // What pthread_getcpuclockid makes of a thread's id: the id inverted, "a thread" (4), "time as scheduled" (2).
    struct timespec used;
    if (clock_gettime((clockid_t)((~(uint32_t)thread << 3) | 6), &used) != 0) return -1;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

bool csp_thread_is_blocked(int32_t thread) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return false;
    text[count] = 0;
    // The state follows the name, which is in parentheses and may contain any.
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] != 'R';
}

void csp_wake_early(void) { prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); }

int csp_yield_thread(void) { return sched_yield(); }

int64_t csp_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int csp_affinity_cpus(void) {
    // The kernel refuses a set smaller than its own: grow until it fits.
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        CPU_ZERO_S(size, set);
        int result = sched_getaffinity(0, size, set);
        int count = result == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
        if (errno != EINVAL) break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static bool read_line(const char *path, char *line, size_t capacity) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fgets(line, (int)capacity, file) != NULL;
    fclose(file);
    return read;
}

// The least quota on the way from this process's cgroup up to the root; every level limits.
static void walk(const char *root, char *group, bool v2, int64_t *least) {
    for (;;) {
        char path[4608], line[128];
        long long quota = -1, period = 0;
        if (v2) {
            snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
            if (read_line(path, line, sizeof line) && sscanf(line, "%lld %lld", &quota, &period) != 2) quota = -1;
        } else {
            snprintf(path, sizeof path, "%s%s/cpu.cfs_quota_us", root, group);
            if (read_line(path, line, sizeof line) && sscanf(line, "%lld", &quota) != 1) quota = -1;
            snprintf(path, sizeof path, "%s%s/cpu.cfs_period_us", root, group);
            if (read_line(path, line, sizeof line) && sscanf(line, "%lld", &period) != 1) period = 0;
        }
        if (quota > 0 && period > 0) {
            int64_t milli = quota * 1000 / period;
            if (milli < 1) milli = 1;
            if (*least == 0 || milli < *least) *least = milli;
        }
        char *slash = strrchr(group, '/');
        if (!slash || !*group) return;
        *slash = 0;
    }
}

int64_t csp_cgroup_quota_milli(void) {
    int64_t least = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return 0;
    char line[4352];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        controllers++;
        if (strcmp(group, "/") == 0) *group = 0;
        if (!*controllers) {
            walk("/sys/fs/cgroup", group, true, &least);
        } else if (strstr(controllers, "cpu") == controllers || strstr(controllers, ",cpu")) {
            walk("/sys/fs/cgroup/cpu", group, false, &least);
        }
    }
    fclose(file);
    return least;
}

static __thread csp_thread_record record;

csp_thread_record *csp_current_thread_record(void) { return &record; }

CSP_UNINSTRUMENTED static uint64_t worker_number(void) { return record.worker_number; }

static inline csp_reader_slot *own_slot(csp_reader_slot *slots) {
    uint64_t number = csp_detects_races ? worker_number() : record.worker_number;
    return number - 1 < slots->count - 1 ? &slots[number] : NULL;
}

// To the race detector, goroutines on one thread are strangers to each other: a store by one would take back what an earlier one has released, so there it adds.
static inline void count_reader(uint64_t *own, uint64_t *shared) {
    if (__builtin_expect(own != NULL, 1) && !csp_detects_races)
        __atomic_store_n(own, __atomic_load_n(own, __ATOMIC_RELAXED) + 1, __ATOMIC_RELEASE);
    else
        __atomic_fetch_add(own ? own : shared, 1, __ATOMIC_RELEASE);
}

void csp_reader_in(csp_reader_slot *slots) {
    csp_reader_slot *own = own_slot(slots);
    count_reader(own ? &own->in : NULL, &slots->in);
}

void csp_reader_out(csp_reader_slot *slots) {
    csp_reader_slot *own = own_slot(slots);
    count_reader(own ? &own->out : NULL, &slots->out);
}

// Processors fetch cache lines in pairs.
_Alignas(128) csp_read_gate csp_read_gates[CSP_READ_GATES];

CSP_UNINSTRUMENTED csp_read_gate *csp_current_read_gate(void) {
    uint64_t own = record.worker_number - 1;
    if (own < CSP_READ_GATES - CSP_SHARED_READ_GATES) return &csp_read_gates[CSP_SHARED_READ_GATES + own];
    return &csp_read_gates[((uintptr_t)&record >> 12) % CSP_SHARED_READ_GATES];
}

// xorshift64*.
CSP_UNINSTRUMENTED uint64_t csp_random(void) {
    static __thread uint64_t state;
    uint64_t x = state;
    if (__builtin_expect(x == 0, 0)) x = (uint64_t)csp_now() ^ (uint64_t)(uintptr_t)&state * 0x9E3779B97F4A7C15u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    state = x;
    return x * 0x2545F4914F6CDD1Du;
}

int csp_bubbles, csp_guides;
void csp_count_bubbles(int change, bool guided) {
    __atomic_fetch_add(&csp_bubbles, change, __ATOMIC_RELAXED);
    if (guided) __atomic_fetch_add(&csp_guides, change, __ATOMIC_RELAXED);
}
