#define _GNU_SOURCE
#include "ccsp.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef PIDFD_SELF_THREAD
#define PIDFD_SELF_THREAD -10000
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

csp_arena_t csp_arena;
csp_coarse_clock_t csp_coarse_clock;

void (*csp_goroutine_main)(void) __attribute__((visibility("hidden")));
void csp_set_goroutine_main(void (*body)(void)) { csp_goroutine_main = body; }

extern void csp_goroutine_entry(void);

void csp_context_prepare(csp_context *context, void *top, const csp_context *like) {
    context->sp = top;
    context->fp = NULL;
    context->pc = (void *)csp_goroutine_entry;
    context->fpcw = like->fpcw;
}

void csp_save_controls(csp_context *context) {
    context->fpcw = 0;
#if defined(__x86_64__)
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
    memcpy(&context->fpcw, &mxcsr, sizeof mxcsr);
    memcpy((char *)&context->fpcw + 4, &x87, sizeof x87);
#else
    __asm__ volatile("mrs %0, fpcr" : "=r"(context->fpcw));
#endif
}

void csp_restore_controls(const csp_context *context) {
#if defined(__x86_64__)
    uint32_t mxcsr, old_mxcsr;
    uint16_t x87, old_x87;
    memcpy(&mxcsr, &context->fpcw, sizeof mxcsr);
    memcpy(&x87, (const char *)&context->fpcw + 4, sizeof x87);
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(old_mxcsr), "=m"(old_x87));
    // As in the switch: compare first.
    if (((mxcsr ^ old_mxcsr) & 0xffc0) || x87 != old_x87) __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87));
#else
    __asm__ volatile("msr fpcr, %0" : : "r"(context->fpcw));
#endif
}

void *csp_reserve(size_t size, size_t alignment) {
    size_t whole = size + alignment;
    if (whole < size) return NULL;
    char *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *aligned = (char *)(((uintptr_t)start + alignment - 1) & ~(uintptr_t)(alignment - 1));
    if (aligned > start) munmap(start, (size_t)(aligned - start));
    if (start + whole > aligned + size) munmap(aligned + size, (size_t)(start + whole - (aligned + size)));
    // Huge pages would commit 2 MiB for a goroutine that touches one page. A kernel without them refuses: harmless.
    madvise(aligned, size, MADV_NOHUGEPAGE);
    return aligned;
}

void csp_release(void *address, size_t size) { munmap(address, size); }

static int install_guard(void *address, size_t size, bool allow_guard_install) {
    if (allow_guard_install && madvise(address, size, MADV_GUARD_INSTALL) == 0) return 0;
    // EINVAL: the kernel is older than 6.13 (or the memory is locked).
    return mprotect(address, size, PROT_NONE) == 0 ? 0 : errno;
}

int csp_install_guards(char *first, size_t stride, size_t count, size_t size, bool allow_guard_install) {
    size_t done = 0;
    if (allow_guard_install && count > 1) {
        struct iovec guards[16];
        size_t batch = count < 16 ? count : 16;
        for (size_t index = 0; index < batch; index++) guards[index] = (struct iovec){first + index * stride, size};
        // Two thirds of the time that as many calls take. A kernel that knows no such name for the caller has done none.
        long bytes = syscall(SYS_process_madvise, PIDFD_SELF_THREAD, guards, batch, MADV_GUARD_INSTALL, 0);
        if (bytes > 0) done = (size_t)bytes / size;
    }
    for (; done < count; done++) {
        int error = install_guard(first + done * stride, size, allow_guard_install);
        if (error) return error;
    }
    return 0;
}

void csp_discard(void *address, size_t size) { madvise(address, size, MADV_DONTNEED); }

void *csp_immortal_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void *csp_immortal_huge_page(void) {
    void *memory = csp_reserve(CSP_HUGE_PAGE, CSP_HUGE_PAGE);
    // A kernel without them refuses, and gives small ones: harmless.
    if (memory) madvise(memory, CSP_HUGE_PAGE, MADV_HUGEPAGE);
    return memory;
}
