#define _GNU_SOURCE
// Looks at goroutines' stacks, parked or running, for dumps.
#include "ccsp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

// The stack that is read may be in use: the races are by design (see Diagnostics/Sighting.swift), and so is reading what
// a sanitizer holds for out of bounds.
#define RACY CSP_UNINSTRUMENTED

RACY uint64_t csp_peek_64(const void *address) { return __atomic_load_n((const uint64_t *)address, __ATOMIC_ACQUIRE); }
RACY uint32_t csp_peek_32(const void *address) { return __atomic_load_n((const uint32_t *)address, __ATOMIC_ACQUIRE); }
RACY uint8_t csp_peek_8(const void *address) { return __atomic_load_n((const uint8_t *)address, __ATOMIC_ACQUIRE); }

void csp_settle_reads(void) {
#if defined(__x86_64__)
    // Loads are in order, and so are the others' stores.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#else
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    csp_membarrier();
#endif
}

RACY static uintptr_t word(uintptr_t address) { return __atomic_load_n((const uintptr_t *)address, __ATOMIC_RELAXED); }

static bool is_frame(uintptr_t fp, uintptr_t low, uintptr_t high) {
    return fp >= low && fp <= high - 2 * sizeof(uintptr_t) && fp % sizeof(uintptr_t) == 0;
}

RACY static void record(csp_trace *trace, uint32_t number, uintptr_t pc) {
    uint32_t place = number < CSP_TRACE_MOST ? number : CSP_TRACE_FIRST + (number - CSP_TRACE_FIRST) % CSP_TRACE_LAST;
    trace->frames[place] = pc;
}

RACY void csp_walk_stack(uintptr_t pc, uintptr_t fp, uintptr_t low, uintptr_t high, csp_trace *trace) {
    uint32_t total = 0;
    while (pc > 4096) {
        record(trace, total++, pc);
        if (!is_frame(fp, low, high)) break;
        pc = word(fp + sizeof(uintptr_t));
        // Each frame lies above the one before, so this ends.
        low = fp + 2 * sizeof(uintptr_t);
        fp = word(fp);
    }
    trace->omitted = total > CSP_TRACE_MOST ? total - CSP_TRACE_MOST : 0;
    trace->count = total - trace->omitted;
    if (trace->omitted == 0) return;
    // The last ones went round in a ring: the oldest first.
    uintptr_t ring[CSP_TRACE_LAST];
    memcpy(ring, trace->frames + CSP_TRACE_FIRST, sizeof ring);
    for (uint32_t i = 0; i < CSP_TRACE_LAST; i++) {
        trace->frames[CSP_TRACE_FIRST + i] = ring[(total - CSP_TRACE_FIRST + i) % CSP_TRACE_LAST];
    }
}

// The kernel reads the stack for us, and says no where there is nothing.
RACY void csp_walk_unbounded(uintptr_t pc, uintptr_t fp, uintptr_t sp, csp_trace *trace) {
    static const uintptr_t most = 64 << 20;
    pid_t process = getpid();
    uintptr_t low = sp;
    trace->count = trace->omitted = 0;
    while (pc > 4096 && trace->count < CSP_TRACE_MOST) {
        trace->frames[trace->count++] = pc;
        if (fp < low || fp - sp > most || fp % sizeof(uintptr_t) != 0) break;
        uintptr_t frame[2];
        struct iovec here = {frame, sizeof frame}, there = {(void *)fp, sizeof frame};
        if (process_vm_readv(process, &here, 1, &there, 1, 0) != sizeof frame) break;
        low = fp + sizeof frame;
        fp = frame[0];
        pc = frame[1];
    }
}

RACY void csp_walk_callers(csp_trace *trace) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0), bottom;
    size_t size;
    if (csp_slot_at(frame, &bottom, &size)) {
        csp_walk_stack(word(frame + sizeof frame), word(frame), frame, bottom + size, trace);
    } else {
        csp_walk_unbounded(word(frame + sizeof frame), word(frame), frame, trace);
    }
}

RACY void csp_interrupted_at(const void *opaque, uintptr_t *pc, uintptr_t *fp, uintptr_t *sp) {
    const ucontext_t *context = opaque;
#if defined(__x86_64__)
    *pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    *fp = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
    *sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#else
    *pc = context->uc_mcontext.pc;
    *fp = context->uc_mcontext.regs[29];
    *sp = context->uc_mcontext.sp;
#endif
}

RACY void *csp_slot_at(uintptr_t address, uintptr_t *bottom, size_t *size) {
    uintptr_t offset = address - csp_arena.base;
    if (offset >= csp_arena.size) return NULL;
    uintptr_t kind = offset >> csp_arena.region_shift;
    uintptr_t shift = CSP_SMALLEST_STACK_SHIFT + kind;
    *size = (size_t)1 << shift;
    *bottom = address & ~(*size - 1);
    return (void *)csp_peek_64(
        &csp_arena.owners[kind][(offset & (((uintptr_t)1 << csp_arena.region_shift) - 1)) >> shift]);
}

// MARK: Goroutines that run
//
// A thread that computes gets SIGURG, whose default is to be ignored, so that one which arrives late does no harm; programs
// must expect it at any time anyway. A thread in a system call gets none, since it could make the call return early: the kernel
// tells where it is in /proc.

int32_t csp_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

enum { IDLE, ASKED, WALKING, DONE };
// (thread << 2) | phase: thread ids have 22 bits. ASKED belongs to whoever changes it, by compare-exchange: the thread that was
// asked, to WALKING, or the one that asked, back to IDLE. In WALKING the answer is the handler's, in DONE the asker's.
static uint32_t request;
static csp_trace answer;
static void *answered_for;
static struct sigaction before;

RACY static void on_sigurg(int signal, siginfo_t *info, void *opaque) {
    int saved = errno;
    uint32_t thread = (uint32_t)csp_thread_id() << 2;
    uint32_t expected = thread | ASKED;
    if (__atomic_compare_exchange_n(&request, &expected, thread | WALKING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        uintptr_t pc, fp, sp, bottom;
        size_t size;
        csp_interrupted_at(opaque, &pc, &fp, &sp);
        answered_for = csp_slot_at(sp, &bottom, &size);
        answer.count = 0;
        // One more than the interrupted instruction, as if it were a return address.
        if (answered_for) csp_walk_stack(pc + 1, fp, sp > bottom + CSP_GUARD_SIZE ? sp : bottom + CSP_GUARD_SIZE, bottom + size, &answer);
        __atomic_store_n(&request, thread | DONE, __ATOMIC_RELEASE);
        csp_futex_wake(&request, 1);
    } else if (!(info->si_code == SI_TKILL && info->si_pid == getpid())) {
        // Not ours.
        if (before.sa_flags & SA_SIGINFO) {
            before.sa_sigaction(signal, info, opaque);
        } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
            before.sa_handler(signal);
        }
    }
    errno = saved;
}

void csp_begin_captures(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_sigurg;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGURG, &action, &before);
}

void csp_end_captures(void) {
    // A search must not take it for a goroutine that somebody knows.
    answered_for = NULL;
    struct sigaction now;
    sigaction(SIGURG, NULL, &now);
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigurg) sigaction(SIGURG, &before, NULL);
}

// Where the kernel says that a thread blocks. False for one that runs, or when the kernel does not tell.
static bool blocks_in_kernel(int32_t thread, uintptr_t *sp, uintptr_t *pc) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    // "running", "-1 SP PC", or the number, six arguments, SP and PC.
    if (length <= 0 || line[0] < '0' || line[0] > '9') return false;
    line[length] = 0;
    char *place = line;
    unsigned long words[9];
    for (int i = 0; i < 9; i++) {
        char *end;
        words[i] = strtoul(place, &end, 0);
        if (end == place) return false;
        place = end;
    }
    *sp = words[7];
    *pc = words[8];
    return true;
}

extern char csp_goroutine_entry[];

// The kernel does not tell the frame pointer: the lowest place above `sp` from which a chain of frames leads to the goroutine's
// first function. 0 when there is none.
static uintptr_t find_chain(uintptr_t sp, uintptr_t high) {
    uintptr_t end = high - sp > 64 << 10 ? sp + (64 << 10) : high;
    for (uintptr_t start = sp; is_frame(start, sp, end); start += sizeof(uintptr_t)) {
        uintptr_t fp = start;
        for (int steps = 0; steps < 100000; steps++) {
            uintptr_t next = word(fp);
            if (next == 0) {
                uintptr_t from = word(fp + sizeof(uintptr_t)) - (uintptr_t)csp_goroutine_entry;
                if (from < 64) return start;
                break;
            }
            if (!is_frame(next, fp + 2 * sizeof(uintptr_t), high)) break;
            fp = next;
        }
    }
    return 0;
}

static csp_capture_result capture_blocked(int32_t thread, uintptr_t sp, uintptr_t pc, void *goroutine, csp_trace *trace) {
    uintptr_t bottom, sp_again, pc_again;
    size_t size;
    if (csp_slot_at(sp, &bottom, &size) != goroutine || sp < bottom + CSP_GUARD_SIZE) return CSP_NOT_THERE;
    csp_walk_stack(pc, find_chain((sp + 7) & ~(uintptr_t)7, bottom + size), sp, bottom + size, trace);
    if (!blocks_in_kernel(thread, &sp_again, &pc_again) || sp_again != sp || pc_again != pc) return CSP_NOT_THERE;
    return CSP_IN_SYSTEM_CALL;
}

csp_capture_result csp_capture(int32_t thread, void *goroutine, int64_t nanoseconds, csp_trace *trace) {
    uintptr_t sp, pc;
    trace->count = trace->omitted = 0;
    if (thread <= 0) return CSP_NOT_THERE;
    if (blocks_in_kernel(thread, &sp, &pc)) return capture_blocked(thread, sp, pc, goroutine, trace);
    uint32_t asked = (uint32_t)thread << 2 | ASKED, walking = (uint32_t)thread << 2 | WALKING;
    __atomic_store_n(&request, asked, __ATOMIC_RELEASE);
    int64_t deadline = csp_now() + nanoseconds;
    bool sent = syscall(SYS_tgkill, getpid(), thread, SIGURG) == 0;
    for (;;) {
        uint32_t now = __atomic_load_n(&request, __ATOMIC_ACQUIRE);
        if (now != asked && now != walking) break;
        int64_t left = sent ? deadline - csp_now() : 0;
        // It is blocked from taking signals, or gets no processor: it will find nothing asked. A handler that has begun needs
        // nothing but time.
        if (left <= 0 && __atomic_compare_exchange_n(&request, &asked, IDLE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return CSP_NO_ANSWER;
        }
        asked = (uint32_t)thread << 2 | ASKED;
        csp_futex_wait(&request, now, left > 0 ? left : 1000000);
    }
    bool matches = answered_for == goroutine && answer.count > 0;
    if (matches) *trace = answer;
    __atomic_store_n(&request, IDLE, __ATOMIC_RELEASE);
    return matches ? CSP_CAPTURED : CSP_NOT_THERE;
}

// MARK: A chain of frames for others to read

// A frame pointer, which points at the next one's, and a return address; one more ends the chain. Below them is what an async function's
// frame has there, its context, which Swift's unwinder follows where the address is in such a function: to nothing.
// Frame pointers are aligned to 16 bytes.
typedef struct {
    void *padding;
    const void *context;
    void *next __attribute__((aligned(16)));
    uintptr_t address;
} frame_t;

static const uintptr_t no_context[8];

// In switch_*.S: calls `body` with `frames` for its caller's frame. Unwinders that read unwind tables, as Swift Testing's does whenever an error
// is thrown, also inside Runtime, find the end of the stack there. Rejected: the same in C, where they went astray.
extern void csp_call_above(void *frames, void (*body)(void *), void *argument);

void csp_with_frames(const uintptr_t *addresses, uint32_t count, void (*body)(void *), void *argument) {
    frame_t frames[CSP_TRACE_MOST + 1];
    if (count > CSP_TRACE_MOST) count = CSP_TRACE_MOST;
    for (uint32_t i = 0; i < count; i++) frames[i] = (frame_t){NULL, no_context, &frames[i + 1].next, addresses[i]};
    frames[count] = (frame_t){NULL, no_context, NULL, 0};
    csp_call_above(&frames[0].next, body, argument);
    // Not a tail call: the frames stay until here.
    __asm__ volatile("" : : "r"(frames) : "memory");
}
