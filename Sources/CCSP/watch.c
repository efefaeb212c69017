#define _GNU_SOURCE
// Who watches, and what the kernel knows of stacks.
#include "ccsp.h"
#include "sanitizer.h"

#include <stdio.h>
#include <string.h>

#if CSP_TSAN || CSP_ASAN
uint32_t csp_watched = CSP_WATCH_FIBERS;
#else
uint32_t csp_watched = 0;
#endif
static int64_t since;

int64_t csp_watch_since(void) {
    // After whatever has told the caller that somebody watches.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&since, __ATOMIC_RELAXED);
}

void csp_set_watch(uint32_t which, bool on) {
    if (on) {
        // Two at the same time differ by nothing that matters.
        if ((csp_watch() & ~(uint32_t)CSP_WATCH_FIBERS) == 0) __atomic_store_n(&since, csp_now(), __ATOMIC_RELAXED);
        __atomic_fetch_or(&csp_watched, which, __ATOMIC_ACQ_REL);
    } else {
        __atomic_fetch_and(&csp_watched, ~which, __ATOMIC_ACQ_REL);
    }
}

// In /proc/self/smaps a mapping begins with its addresses, and one of its lines is "Rss: N kB".
long csp_resident_stack_bytes(void) {
    FILE *file = fopen("/proc/self/smaps", "re");
    if (!file) return 0;
    char line[512];
    uintptr_t low, high;
    bool inside = false;
    long kilobytes, sum = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2) {
            inside = low < csp_arena.base + csp_arena.size && high > csp_arena.base;
        } else if (inside && sscanf(line, "Rss: %ld kB", &kilobytes) == 1) {
            sum += kilobytes;
        }
    }
    fclose(file);
    return sum * 1024;
}

// Stacks that differ beyond that are not told apart, nor are frames shown beyond that.
enum { MOST_STARTS = 64, MOST_FRAMES = 32 };
static struct {
    uint64_t count;
    uint32_t depth;
    uintptr_t frames[MOST_FRAMES];
} starts[MOST_STARTS];
static uint32_t starts_lock;

static void lock_starts(void) {
    while (__atomic_exchange_n(&starts_lock, 1, __ATOMIC_ACQUIRE)) csp_pause();
}

static void unlock_starts(void) { __atomic_store_n(&starts_lock, 0, __ATOMIC_RELEASE); }

CSP_UNINSTRUMENTED void csp_note_thread_start(void) {
    csp_trace trace;
    csp_walk_callers(&trace);
    uint32_t depth = trace.count < MOST_FRAMES ? trace.count : MOST_FRAMES, place = 0;
    lock_starts();
    // The last place is for all that have no other.
    while (place < MOST_STARTS - 1 && starts[place].count
           && !(starts[place].depth == depth && memcmp(starts[place].frames, trace.frames, depth * sizeof *trace.frames) == 0)) {
        place++;
    }
    if (!starts[place].count) {
        starts[place].depth = place < MOST_STARTS - 1 ? depth : 0;
        memcpy(starts[place].frames, trace.frames, starts[place].depth * sizeof *trace.frames);
    }
    starts[place].count++;
    unlock_starts();
}

CSP_UNINSTRUMENTED uint64_t csp_thread_start_at(uint32_t number, csp_trace *trace) {
    trace->count = trace->omitted = 0;
    if (number >= MOST_STARTS) return 0;
    lock_starts();
    uint64_t count = starts[number].count;
    trace->count = starts[number].depth;
    memcpy(trace->frames, starts[number].frames, trace->count * sizeof *trace->frames);
    unlock_starts();
    return count;
}
