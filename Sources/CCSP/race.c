// What ThreadSanitizer is told: see Diagnostics/RaceDetector.swift.
#include "ccsp.h"
#include "sanitizer.h"

#if CSP_TSAN

#include <stdlib.h>

// compiler-rt's include/sanitizer/tsan_interface.h, and what only its sources declare.
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void __tsan_java_alloc(uintptr_t address, uintptr_t size);
void __tsan_java_free(uintptr_t address, uintptr_t size);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
enum { NO_SYNCHRONIZATION = 1 };

// All of them without instrumentation, that of entry and exit included: csp_fiber_switch is entered in one fiber and left in another.
const bool csp_detects_races = true;

struct csp_fiber {
    void *fiber;
    // Its address stands for what makes the goroutine runnable.
    uint64_t wake_up;
};

CSP_UNINSTRUMENTED csp_fiber *csp_fiber_create(void) {
    csp_fiber *fiber = malloc(sizeof *fiber);
    fiber->fiber = __tsan_create_fiber(0);
    return fiber;
}

CSP_UNINSTRUMENTED csp_fiber *csp_fiber_of_thread(void) {
    csp_fiber *fiber = malloc(sizeof *fiber);
    fiber->fiber = __tsan_get_current_fiber();
    return fiber;
}

// The sanitizer gives what distinguishes a fiber that is over to the next one, and then takes the two for one: a race between goroutines of which
// one began after the other had ended would be missed. So those that are over are kept for a while; it distinguishes 256 in all.
enum { KEPT = 128 };
static csp_fiber *kept[KEPT];
static unsigned next_kept;

CSP_UNINSTRUMENTED void csp_fiber_destroy(csp_fiber *fiber, bool is_thread) {
    if (!is_thread) {
        unsigned place = __atomic_fetch_add(&next_kept, 1, __ATOMIC_RELAXED) % KEPT;
        fiber = __atomic_exchange_n(&kept[place], fiber, __ATOMIC_ACQ_REL);
        if (fiber) __tsan_destroy_fiber(fiber->fiber);
    }
    free(fiber);
}

CSP_UNINSTRUMENTED void csp_fiber_switch(csp_fiber *from, csp_fiber *to, bool is_last) {
    (void)from;
    if (is_last) csp_race_heed();
    __tsan_switch_to_fiber(to->fiber, NO_SYNCHRONIZATION);
}

CSP_UNINSTRUMENTED void csp_fiber_wakes(csp_fiber *fiber) { __tsan_release(&fiber->wake_up); }
CSP_UNINSTRUMENTED void csp_fiber_woken(csp_fiber *fiber) { __tsan_acquire(&fiber->wake_up); }
CSP_UNINSTRUMENTED void csp_race_release(const void *address) { __tsan_release((void *)address); }
CSP_UNINSTRUMENTED void csp_race_acquire(const void *address) { __tsan_acquire((void *)address); }

CSP_UNINSTRUMENTED void csp_race_forget(const void *address, size_t size) {
    __tsan_java_free((uintptr_t)address, size);
    __tsan_java_alloc((uintptr_t)address, size);
}

CSP_UNINSTRUMENTED void csp_race_ignore_accesses(void) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

CSP_UNINSTRUMENTED void csp_race_heed_accesses(void) {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

CSP_UNINSTRUMENTED void csp_race_ignore(void) {
    csp_race_ignore_accesses();
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
}

CSP_UNINSTRUMENTED void csp_race_heed(void) {
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
    csp_race_heed_accesses();
}

#else

const bool csp_detects_races = false;

// Never called, or needless.
void csp_fiber_wakes(csp_fiber *fiber) { (void)fiber; }
void csp_fiber_woken(csp_fiber *fiber) { (void)fiber; }
void csp_race_release(const void *address) { (void)address; }
void csp_race_acquire(const void *address) { (void)address; }
void csp_race_forget(const void *address, size_t size) { (void)address, (void)size; }
void csp_race_ignore_accesses(void) {}
void csp_race_heed_accesses(void) {}
void csp_race_ignore(void) {}
void csp_race_heed(void) {}

#endif
