// What ThreadSanitizer is told: see Diagnostics/RaceDetector.swift.
#define _GNU_SOURCE
#include "ccsp.h"
#include "sanitizer.h"

#if CSP_TSAN

#include <dlfcn.h>
#include <link.h>
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

// Swift's swift_once stands before each use of a global variable and of what the runtime knows about a generic type. Under the sanitizer it takes a lock each
// time, and tells of that: whoever uses one would be ordered after all who have used it before, and hardly a race be left to find. What it is to tell is that
// the variable is initialised. The initialiser is the first to release the token, which swift_once does with its lock held; so the releases that follow are not
// passed on.

enum { TOKENS = 1 << 14, TOKENS_TRIED = 64 };
static uintptr_t tokens[TOKENS];
static void (*swift_release)(void *address);
// Where swift_once is. What Swift's concurrency, another library, has to tell by the same hook is passed on.
static uintptr_t core_begin, core_end;

// Whether `token` has not been here before. Two threads never ask for one token at a time. For lack of room, true for ever.
CSP_UNINSTRUMENTED static bool is_new(uintptr_t token) {
    uint64_t place = ((uint64_t)token * 0x9E3779B97F4A7C15u) >> 50;
    for (int tried = 0; tried < TOKENS_TRIED; tried++, place++) {
        uintptr_t *entry = &tokens[place % TOKENS], found = 0;
        if (__atomic_compare_exchange_n(entry, &found, token, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return true;
        if (found == token) return false;
    }
    return true;
}

CSP_UNINSTRUMENTED static void release_first(void *address) {
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (core_begin <= caller && caller < core_end && !is_new((uintptr_t)address)) return;
    swift_release(address);
}

CSP_UNINSTRUMENTED static int find_code(struct dl_phdr_info *library, size_t size, void *wanted) {
    (void)size;
    for (int index = 0; index < library->dlpi_phnum; index++) {
        const ElfW(Phdr) *part = &library->dlpi_phdr[index];
        uintptr_t begin = library->dlpi_addr + part->p_vaddr, end = begin + part->p_memsz;
        if (part->p_type != PT_LOAD || (uintptr_t)wanted < begin || (uintptr_t)wanted >= end) continue;
        core_begin = begin;
        core_end = end;
        return 1;
    }
    return 0;
}

// The hook is a variable of the runtime's, not ours to link to: if it is not there, or the libraries are one, all stays as it is.
__attribute__((constructor)) CSP_UNINSTRUMENTED static void tell_less_of_swift_once(void) {
    void (**hook)(void *) = (void (**)(void *))dlsym(RTLD_DEFAULT, "_swift_tsan_release");
    void *once = dlsym(RTLD_DEFAULT, "swift_once"), *concurrency = dlsym(RTLD_DEFAULT, "swift_task_create");
    if (!hook || !*hook || !once) return;
    dl_iterate_phdr(find_code, once);
    if (core_begin <= (uintptr_t)concurrency && (uintptr_t)concurrency < core_end) return;
    swift_release = *hook;
    __atomic_store_n(hook, release_first, __ATOMIC_RELEASE);
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
