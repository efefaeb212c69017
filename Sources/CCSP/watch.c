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
