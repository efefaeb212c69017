// Tests the stack switch alone, without Swift: built natively and for AArch64 (run under qemu-user) by test-aarch64.
// It knows of ccsp.h only what stands there under "The switch". Prints one line per test; the exit status is 1 when one
// fails.
#define _GNU_SOURCE
#include "ccsp.h"

#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unwind.h>

// MARK: Coroutines to test with

enum { STACK_SIZE = 256 * 1024 };

/// One execution on a stack of its own, and the place of whoever entered it last.
typedef struct coroutine {
    csp_context context;
    csp_context caller;
    char *stack;
    void (*body)(struct coroutine *self);
    uint64_t seed;
    bool finished;
} coroutine;

/// Handed to a coroutine's first instruction, which takes no argument.
static coroutine *starting;
static int failures;

static void fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    if (++failures > 20) exit(1);
}
#define EXPECT(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))

// Not inlined, so that the calling convention's promises (callee-saved registers) are put to the test at each call, and
// so that nothing computed from a thread local before a switch is used after it.
static __attribute__((noinline)) void resume(coroutine *c) {
    starting = c;
    csp_enter(&c->caller, &c->context);
}
static __attribute__((noinline)) void leave(coroutine *c) { csp_leave(&c->context, &c->caller); }

static void coroutine_main(void) {
    coroutine *self = starting;
    self->body(self);
    self->finished = true;
    for (;;) leave(self);
}

static void create(coroutine *c, void (*body)(coroutine *), uint64_t seed) {
    memset(c, 0, sizeof *c);
    c->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->stack == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    c->body = body;
    c->seed = seed;
    csp_save_controls(&c->caller);
    csp_context_prepare(&c->context, c->stack + STACK_SIZE, &c->caller);
}
static void destroy(coroutine *c) {
    EXPECT(c->finished);
    munmap(c->stack, STACK_SIZE);
}

static bool is_on_stack(const coroutine *c, const void *address) {
    return (const char *)address >= c->stack && (const char *)address < c->stack + STACK_SIZE;
}

static uint64_t next_random(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// MARK: Registers

/// Fills every callee-saved register with `pattern`, calls body(argument), and returns the bits in which any of them
/// differed afterwards.
uint64_t test_keep_registers(void (*body)(coroutine *), coroutine *argument, const uint64_t *pattern);

#if defined(__x86_64__)
enum { PATTERN_WORDS = 6 };
__asm__(".text\n"
        ".globl test_keep_registers\n"
        ".type test_keep_registers, @function\n"
        "test_keep_registers:\n"
        "    pushq %rbx\n    pushq %rbp\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    pushq %rdx\n"
        "    movq %rdi, %rax\n"
        "    movq %rsi, %rdi\n"
        "    movq 0(%rdx), %rbx\n    movq 8(%rdx), %rbp\n    movq 16(%rdx), %r12\n"
        "    movq 24(%rdx), %r13\n    movq 32(%rdx), %r14\n    movq 40(%rdx), %r15\n"
        "    callq *%rax\n"
        "    popq %rdx\n"
        "    xorl %eax, %eax\n"
        "    xorq 0(%rdx), %rbx\n    orq %rbx, %rax\n"
        "    xorq 8(%rdx), %rbp\n    orq %rbp, %rax\n"
        "    xorq 16(%rdx), %r12\n    orq %r12, %rax\n"
        "    xorq 24(%rdx), %r13\n    orq %r13, %rax\n"
        "    xorq 32(%rdx), %r14\n    orq %r14, %rax\n"
        "    xorq 40(%rdx), %r15\n    orq %r15, %rax\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbp\n    popq %rbx\n"
        "    ret\n"
        ".size test_keep_registers, . - test_keep_registers\n");
#else
enum { PATTERN_WORDS = 19 };
__asm__(".text\n"
        ".macro TEST_COMPARE register, offset\n"
        "    ldr x3, [x2, #\\offset]\n    eor x3, x3, \\register\n    orr x0, x0, x3\n"
        ".endm\n"
        ".macro TEST_COMPARE_FP register, offset\n"
        "    fmov x4, \\register\n    TEST_COMPARE x4, \\offset\n"
        ".endm\n"
        ".globl test_keep_registers\n"
        ".type test_keep_registers, %function\n"
        "test_keep_registers:\n"
        "    stp x29, x30, [sp, #-192]!\n"
        "    stp x19, x20, [sp, #16]\n    stp x21, x22, [sp, #32]\n    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    str x2, [sp, #160]\n"
        "    mov x9, x0\n"
        "    mov x0, x1\n"
        "    ldp x19, x20, [x2, #0]\n    ldp x21, x22, [x2, #16]\n    ldp x23, x24, [x2, #32]\n"
        "    ldp x25, x26, [x2, #48]\n    ldp x27, x28, [x2, #64]\n"
        "    ldp d8, d9, [x2, #80]\n    ldp d10, d11, [x2, #96]\n    ldp d12, d13, [x2, #112]\n"
        "    ldp d14, d15, [x2, #128]\n"
        "    ldr x29, [x2, #144]\n"
        "    blr x9\n"
        "    ldr x2, [sp, #160]\n"
        "    mov x0, #0\n"
        "    TEST_COMPARE x19, 0\n    TEST_COMPARE x20, 8\n    TEST_COMPARE x21, 16\n    TEST_COMPARE x22, 24\n"
        "    TEST_COMPARE x23, 32\n    TEST_COMPARE x24, 40\n    TEST_COMPARE x25, 48\n    TEST_COMPARE x26, 56\n"
        "    TEST_COMPARE x27, 64\n    TEST_COMPARE x28, 72\n"
        "    TEST_COMPARE_FP d8, 80\n    TEST_COMPARE_FP d9, 88\n    TEST_COMPARE_FP d10, 96\n"
        "    TEST_COMPARE_FP d11, 104\n    TEST_COMPARE_FP d12, 112\n    TEST_COMPARE_FP d13, 120\n"
        "    TEST_COMPARE_FP d14, 128\n    TEST_COMPARE_FP d15, 136\n"
        "    TEST_COMPARE x29, 144\n"
        "    ldp x19, x20, [sp, #16]\n    ldp x21, x22, [sp, #32]\n    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #192\n"
        "    ret\n"
        ".size test_keep_registers, . - test_keep_registers\n");
#endif

static void make_pattern(uint64_t *seed, uint64_t pattern[PATTERN_WORDS]) {
    for (int i = 0; i < PATTERN_WORDS; i++) pattern[i] = next_random(seed);
}

static void keep_registers(coroutine *self) {
    for (int i = 0; i < 20000; i++) {
        uint64_t pattern[PATTERN_WORDS];
        make_pattern(&self->seed, pattern);
        EXPECT(test_keep_registers(leave, self, pattern) == 0);
    }
}

static void test_callee_saved_registers(void) {
    enum { COUNT = 7 };
    coroutine all[COUNT];
    for (int i = 0; i < COUNT; i++) create(&all[i], keep_registers, (uint64_t)i);
    uint64_t seed = 99, pattern[PATTERN_WORDS];
    while (!all[COUNT - 1].finished) {
        for (int i = 0; i < COUNT; i++) {
            make_pattern(&seed, pattern);
            EXPECT(test_keep_registers(resume, &all[i], pattern) == 0);
        }
    }
    for (int i = 0; i < COUNT; i++) destroy(&all[i]);
}

#if defined(__x86_64__)
#define FP_REGISTER "+x"
#else
#define FP_REGISTER "+w"
#endif
/// Makes a value that the compiler must hold in a register, knowing nothing of where it came from.
#define OPAQUE(value) __asm__ volatile("" : "+r"(value))
#define OPAQUE_FP(value) __asm__ volatile("" : FP_REGISTER(value))

/// More live values than there are registers, across a switch that is inlined here: whatever register the compiler
/// believes to be preserved, it uses, and the other coroutine, which runs the same code, overwrites.
static void keep_live_values(coroutine *self) {
    for (int round = 0; round < 20000; round++) {
        volatile uint64_t expected[16];
        volatile double expected_fp[16];
        for (int i = 0; i < 16; i++) expected[i] = next_random(&self->seed);
        for (int i = 0; i < 16; i++) expected_fp[i] = (double)(int64_t)next_random(&self->seed);
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define LOAD(n) uint64_t value##n = expected[n]; OPAQUE(value##n);
#define LOAD_FP(n) double fp##n = expected_fp[n]; OPAQUE_FP(fp##n);
#define COMPARE(n) EXPECT(value##n == expected[n]);
#define COMPARE_FP(n) EXPECT(fp##n == expected_fp[n]);
        EACH(LOAD)
        EACH(LOAD_FP)
        csp_leave(&self->context, &self->caller);
        EACH(COMPARE)
        EACH(COMPARE_FP)
    }
}

static void test_live_values(void) {
    coroutine a, b;
    create(&a, keep_live_values, 1);
    create(&b, keep_live_values, 2);
    while (!a.finished || !b.finished) {
        resume(&a);
        resume(&b);
    }
    destroy(&a);
    destroy(&b);
}

// MARK: Floating-point controls

#if defined(__x86_64__)
// MXCSR: rounding (13, 14), flush to zero (15), denormals are zero (6); x87: precision (8, 9), rounding (10, 11).
enum { MXCSR_DEFAULT = 0x1f80, X87_DEFAULT = 0x037f };
typedef struct {
    uint32_t mxcsr;
    uint16_t x87;
} fp_controls;
static const fp_controls fp_variants[] = {
    {MXCSR_DEFAULT, X87_DEFAULT}, {MXCSR_DEFAULT | 0x2000, X87_DEFAULT}, {MXCSR_DEFAULT | 0xe040, 0x077f},
    {MXCSR_DEFAULT, 0x027f},      {MXCSR_DEFAULT | 0x8000, 0x0e7f},      {MXCSR_DEFAULT | 0x4000, 0x0c7f},
};
static __attribute__((noinline)) fp_controls fp_read(void) {
    fp_controls now;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(now.mxcsr), "=m"(now.x87));
    now.mxcsr &= ~0x3fu;  // the sticky exception flags belong to nobody
    return now;
}
static __attribute__((noinline)) void fp_write(fp_controls to) {
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(to.mxcsr), "m"(to.x87));
}
static bool fp_equal(fp_controls a, fp_controls b) { return a.mxcsr == b.mxcsr && a.x87 == b.x87; }
#else
// FPCR: rounding (22, 23), flush to zero (24), default NaN (25).
typedef uint64_t fp_controls;
static const fp_controls fp_variants[] = {0, 1 << 22, 2 << 22, 3 << 22, 1 << 24, (1 << 25) | (1 << 22)};
static __attribute__((noinline)) fp_controls fp_read(void) {
    uint64_t now;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    return now;
}
static __attribute__((noinline)) void fp_write(fp_controls to) { __asm__ volatile("msr fpcr, %0" ::"r"(to)); }
static bool fp_equal(fp_controls a, fp_controls b) { return a == b; }
#endif
enum { FP_VARIANTS = sizeof fp_variants / sizeof fp_variants[0] };

/// Starts with the controls of whoever prepared it, then keeps its own.
static void keep_fp_controls(coroutine *self) {
    EXPECT(fp_equal(fp_read(), fp_variants[(self->seed + 1) % FP_VARIANTS]));
    const fp_controls own = fp_variants[self->seed % FP_VARIANTS];
    fp_write(own);
    for (int i = 0; i < 5000; i++) {
        leave(self);
        EXPECT(fp_equal(fp_read(), own));
    }
    for (int i = 0; i < 5000; i++) {
        const fp_controls changing = fp_variants[(self->seed + (uint64_t)i) % FP_VARIANTS];
        fp_write(changing);
        leave(self);
        EXPECT(fp_equal(fp_read(), changing));
    }
}

static void test_floating_point_controls(void) {
    const fp_controls original = fp_read();
    coroutine all[FP_VARIANTS];
    for (int i = 0; i < FP_VARIANTS; i++) {
        fp_write(fp_variants[(i + 1) % FP_VARIANTS]);
        create(&all[i], keep_fp_controls, (uint64_t)i);
    }
    for (int round = 0; !all[0].finished; round++) {
        const fp_controls own = fp_variants[round % FP_VARIANTS];
        fp_write(own);
        for (int i = 0; i < FP_VARIANTS; i++) {
            resume(&all[i]);
            EXPECT(fp_equal(fp_read(), own));
        }
    }
    fp_write(original);
    for (int i = 0; i < FP_VARIANTS; i++) destroy(&all[i]);
}

/// The controls must act, not only read back: 1 / 3 rounded down and up differ.
static void divide(coroutine *self) {
    volatile double one = 1, three = 3;
    fesetround(self->seed == 0 ? FE_DOWNWARD : FE_UPWARD);
    for (int i = 0; i < 1000; i++) {
        leave(self);
        const double third = one / three;
        EXPECT(self->seed == 0 ? third == 0x1.5555555555555p-2 : third == 0x1.5555555555556p-2);
    }
}

static void test_rounding(void) {
    volatile double one = 1, ten = 10;
    coroutine down, up;
    create(&down, divide, 0);
    create(&up, divide, 1);
    while (!up.finished) {
        resume(&down);
        resume(&up);
        EXPECT(one / ten == 0x1.999999999999ap-4 && fegetround() == FE_TONEAREST);
    }
    destroy(&down);
    destroy(&up);
}

// MARK: Stacks

static __attribute__((noinline)) uintptr_t stack_pointer(void) {
    uintptr_t sp;
#if defined(__x86_64__)
    // As it was at the call: above the return address, the saved frame pointer and this function's locals.
    sp = (uintptr_t)__builtin_frame_address(0) + 16;
#else
    __asm__ volatile("mov %0, sp" : "=r"(sp));
#endif
    return sp;
}

static void check_alignment(coroutine *self) {
    for (int i = 0; i < 3; i++) {
        _Alignas(16) volatile float vector[4] = {1, 2, 3, 4};
        EXPECT(stack_pointer() % 16 == 0);
        EXPECT((uintptr_t)__builtin_frame_address(0) % 16 == 0);
        EXPECT((uintptr_t)vector % 16 == 0 && is_on_stack(self, (const void *)vector));
        leave(self);
    }
}

static void test_stack_alignment(void) {
    coroutine c;
    create(&c, check_alignment, 0);
    while (!c.finished) resume(&c);
    destroy(&c);

    // Coloured tops: any multiple of 16 will do.
    for (size_t colour = 16; colour < 4096; colour += 16) {
        create(&c, check_alignment, 0);
        csp_save_controls(&c.caller);
        csp_context_prepare(&c.context, c.stack + STACK_SIZE - colour, &c.caller);
        while (!c.finished) resume(&c);
        destroy(&c);
    }
}

static __attribute__((noinline)) uint64_t recurse(coroutine *self, unsigned depth) {
    volatile uint64_t here[12];
    for (int i = 0; i < 12; i++) here[i] = self->seed * 1000003 + depth * 12 + (unsigned)i;
    EXPECT(is_on_stack(self, (const void *)here));
    if (depth % 7 == 0) leave(self);
    uint64_t sum = depth == 0 ? 0 : recurse(self, depth - 1);
    if (depth % 5 == 0) leave(self);
    for (int i = 0; i < 12; i++) EXPECT(here[i] == self->seed * 1000003 + depth * 12 + (unsigned)i);
    return sum + depth;
}
static void recurse_deep(coroutine *self) {
    for (int i = 0; i < 5; i++) EXPECT(recurse(self, 800) == 800 * 801 / 2);
}

static void test_deep_recursion(void) {
    enum { COUNT = 16 };
    coroutine all[COUNT];
    for (int i = 0; i < COUNT; i++) create(&all[i], recurse_deep, (uint64_t)i);
    while (!all[0].finished) {
        for (int i = 0; i < COUNT; i++) resume(&all[i]);
    }
    for (int i = 0; i < COUNT; i++) destroy(&all[i]);
}

// MARK: Unwinding

typedef struct {
    int frames;
    uintptr_t last;
} unwound;
static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *argument) {
    unwound *result = argument;
    result->last = _Unwind_GetIP(context);
    return ++result->frames > 100 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static __attribute__((noinline)) void unwind_from(coroutine *self, int depth) {
    if (depth > 0) {
        unwind_from(self, depth - 1);
        __asm__ volatile("" ::: "memory");  // no tail call
        return;
    }
    // By call frame information, as debuggers and Swift's backtracer do: ends at the goroutine's entry.
    unwound result = {0, 0};
    _Unwind_Backtrace(count_frame, &result);
    EXPECT(result.frames >= 12 && result.frames <= 20);

    // By the frame pointers alone: a chain within the stack that ends in zero.
    int links = 0;
    for (uintptr_t *frame = __builtin_frame_address(0); frame != NULL && links < 100; links++) {
        EXPECT(is_on_stack(self, frame));
        uintptr_t *next = (uintptr_t *)frame[0];
        EXPECT(next == NULL || next > frame);
        frame = next;
    }
    EXPECT(links >= 12 && links <= 20);
}
static void unwind(coroutine *self) {
    for (int i = 0; i < 3; i++) {
        unwind_from(self, 10);
        leave(self);
    }
}

static void test_unwinding(void) {
    coroutine c;
    create(&c, unwind, 0);
    while (!c.finished) resume(&c);
    destroy(&c);
}

// MARK: Threads

static void *resume_on_this_thread(void *argument) {
    coroutine *c = argument;
    uint64_t seed = 5, pattern[PATTERN_WORDS];
    for (int i = 0; i < 50; i++) {
        make_pattern(&seed, pattern);
        EXPECT(test_keep_registers(resume, c, pattern) == 0);
    }
    return NULL;
}

static void test_migration(void) {
    coroutine c;
    create(&c, keep_registers, 3);
    while (!c.finished) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, resume_on_this_thread, &c) != 0) {
            perror("pthread_create");
            exit(1);
        }
        pthread_join(thread, NULL);
        resume(&c);
    }
    destroy(&c);
}

// MARK: A million times

// Inlined here, as in the scheduler: a switch within a called function would make its `ret` mispredict.
static void ping(coroutine *self) {
    while (self->seed < 1000000) {
        self->seed++;
        csp_leave(&self->context, &self->caller);
    }
}

static double seconds_since(struct timespec start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) * 1e-9;
}

static void test_ping_pong(void) {
    coroutine c;
    create(&c, ping, 0);
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    uint64_t entered = 0;
    starting = &c;
    while (!c.finished) {
        csp_enter(&c.caller, &c.context);
        entered++;
    }
    EXPECT(c.seed == 1000000 && entered == 1000001);
    printf("  %.1f ns a switch\n", seconds_since(start) * 1e9 / (double)(2 * entered));
    destroy(&c);
}

int main(void) {
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"callee-saved registers survive", test_callee_saved_registers},
        {"live values survive an inlined switch", test_live_values},
        {"floating-point controls belong to each context", test_floating_point_controls},
        {"each context rounds its own way", test_rounding},
        {"stacks are aligned", test_stack_alignment},
        {"deep recursion stays on its own stack", test_deep_recursion},
        {"stacks unwind to their entry", test_unwinding},
        {"a context may continue on another thread", test_migration},
        {"a million round trips", test_ping_pong},
    };
    csp_set_goroutine_main(coroutine_main);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        const int before = failures;
        tests[i].run();
        printf("%s %s\n", failures == before ? "ok    " : "FAILED", tests[i].name);
        fflush(stdout);
    }
    return failures == 0 ? 0 : 1;
}
