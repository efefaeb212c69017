// The whole C surface of swift-csp: what Swift cannot say. Each function's contract stands above it.
#ifndef CCSP_H
#define CCSP_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/// For functions that use thread locals: goroutines on one thread share them, and have no order that ThreadSanitizer knows of.
/// And for those that AddressSanitizer must not find fault with.
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define CSP_UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation, noinline))
#endif
#endif
#ifndef CSP_UNINSTRUMENTED
#define CSP_UNINSTRUMENTED
#endif

// MARK: The switch

/// Where an execution continues: everything that the switch itself must carry over. All other registers are clobbers of
/// the inline assembly below, so that the compiler saves exactly those that are live.
typedef struct {
    void *sp;        // 0
    void *fp;        // 8
    void *pc;        // 16
    uint64_t fpcw;   // 24: x86-64: MXCSR in the low half, the x87 control word in the high one; AArch64: FPCR
} csp_context;

/// Prepares `context` so that the first switch to it calls csp_goroutine_main on the stack that ends at `top`
/// (16-byte aligned), with the floating-point controls in `like`.
void csp_context_prepare(csp_context *context, void *top, const csp_context *like);

/// Saves the calling thread's floating-point controls in `context`, or sets them to those there.
void csp_save_controls(csp_context *context);
void csp_restore_controls(const csp_context *context);

/// Sets what a new goroutine runs on its own stack, which must never return. Once, before the first switch.
void csp_set_goroutine_main(void (*body)(void));

#if defined(__x86_64__)
#if defined(__AVX512F__)
#define CSP_WIDE_CLOBBERS                                                                                             \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",       \
        "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define CSP_WIDE_CLOBBERS
#endif
// rbp cannot be a clobber: the .S file saves it. Nothing is pushed, so the red zone of the caller stays intact.
#define CSP_SWITCH(TARGET, from, to)                                                                                  \
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\tjmp " TARGET "\n1:"                                                    \
                     : "+D"(from), "+S"(to)                                                                           \
                     :                                                                                                \
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",        \
                       "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",      \
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)",         \
                       "st(4)", "st(5)", "st(6)", "st(7)" CSP_WIDE_CLOBBERS)
#elif defined(__aarch64__)
#define CSP_SWITCH(TARGET, from, to)                                                                                  \
    do {                                                                                                              \
        register csp_context *x0_ __asm__("x0") = (from);                                                             \
        register csp_context *x1_ __asm__("x1") = (to);                                                               \
        __asm__ volatile("adr x9, 1f\n\tb " TARGET "\n1:"                                                             \
                         : "+r"(x0_), "+r"(x1_)                                                                       \
                         :                                                                                            \
                         : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",  \
                           "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", \
                           "x30", "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",  \
                           "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", \
                           "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");                                   \
    } while (0)
#else
#error "swift-csp runs on x86-64 and AArch64"
#endif

/// From a worker's own stack into a goroutine: saves the worker's place in `from`, continues at `to`. Returns when the
/// goroutine leaves. Two entry points, so that each indirect jump has a branch predictor entry of its own.
static inline __attribute__((always_inline)) void csp_enter(csp_context *from, csp_context *to) {
    CSP_SWITCH("csp_switch_enter", from, to);
}

/// From a goroutine back to its worker. Returns when a worker, perhaps on another thread, enters the goroutine again:
/// nothing read from a thread local before may be used after.
static inline __attribute__((always_inline)) void csp_leave(csp_context *from, csp_context *to) {
    CSP_SWITCH("csp_switch_leave", from, to);
}

// MARK: Which goroutine am I?

/// Each slot's lowest pages are its guard: more than one page, since a frame larger than the guard may jump across it.
enum { CSP_SMALLEST_STACK_SHIFT = 15, CSP_STACK_CLASSES = 16, CSP_GUARD_SIZE = 16 << 10 };

/// The reserved range of stack slots: class k holds slots of 1 << (15 + k) bytes, each class 1 << region_shift bytes.
/// Written once at start-up; before that size is 0 and nobody is in it.
typedef struct {
    uintptr_t base;
    uintptr_t size;
    unsigned region_shift;
    /// The class of stacks that nobody asked another size for.
    unsigned default_class;
    /// The scheduler, for whoever runs on one of the stacks: there it exists, and no check is needed.
    void *scheduler;
    /// For each class, the goroutine that owns each slot; written by the worker that binds the slot.
    void **owners[CSP_STACK_CLASSES];
} csp_arena_t;

extern csp_arena_t csp_arena;

static inline csp_arena_t *csp_get_arena(void) { return &csp_arena; }

/// The goroutine whose stack we are on, or NULL on a thread's own stack. No thread local is read.
static inline __attribute__((always_inline)) void *csp_current_goroutine(void) {
    uintptr_t offset = (uintptr_t)__builtin_frame_address(0) - csp_arena.base;
    if (__builtin_expect(offset >= csp_arena.size, 0)) return NULL;
    uintptr_t kind = offset >> csp_arena.region_shift;
    uintptr_t slot = (offset & (((uintptr_t)1 << csp_arena.region_shift) - 1)) >> (CSP_SMALLEST_STACK_SHIFT + kind);
    return csp_arena.owners[kind][slot];
}

/// Makes a slot `goroutine`'s.
static inline __attribute__((always_inline)) void csp_set_owner(uintptr_t kind, uintptr_t slot, void *goroutine) {
    csp_arena.owners[kind][slot] = goroutine;
}

/// Makes `goroutine`'s the slot that the calling goroutine's stack is.
static inline __attribute__((always_inline)) void csp_set_current_goroutine(void *goroutine) {
    uintptr_t offset = (uintptr_t)__builtin_frame_address(0) - csp_arena.base;
    uintptr_t kind = offset >> csp_arena.region_shift;
    uintptr_t slot = (offset & (((uintptr_t)1 << csp_arena.region_shift) - 1)) >> (CSP_SMALLEST_STACK_SHIFT + kind);
    csp_set_owner(kind, slot, goroutine);
}

/// Fetches into the cache what a switch to a goroutine will touch first: its control block, which begins with its context, or the end of
/// its stack, for which the control block should be there already. Whatever is in the context by now, fetching it does no harm.
static inline __attribute__((always_inline)) void csp_prefetch_block(const void *block) {
    __builtin_prefetch(block, 1);
    __builtin_prefetch((const char *)block + 64, 1);
}
static inline __attribute__((always_inline)) void csp_prefetch_top(const void *top) {
    for (int line = 1; line <= 10; line++) __builtin_prefetch((const char *)top - 64 * line, 1);
}
/// What it will come back to, and two lines for what it calls then.
static inline __attribute__((always_inline)) void csp_prefetch_stack(const void *block) {
    const char *sp = __atomic_load_n(&((const csp_context *)block)->sp, __ATOMIC_RELAXED);
    for (int line = -2; line < 8; line++) __builtin_prefetch(sp + 64 * line, 1);
}

/// The return address of the function this is inlined into.
static inline __attribute__((always_inline)) void *csp_return_address(void) { return __builtin_return_address(0); }

/// Keeps the compiler, but not the processor, from moving memory accesses across.
static inline __attribute__((always_inline)) void csp_compiler_barrier(void) { __asm__ volatile("" ::: "memory"); }

/// Reads *word, acquiring. Declared pure, so that Swift's optimizer does not retain objects around it as it does around its own atomic
/// loads. Two functions, lest a second look be taken for the first one.
static inline __attribute__((always_inline, pure)) uint32_t csp_first_look(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline __attribute__((always_inline, pure)) uint32_t csp_second_look(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/// Tells the processor that this is a spin loop.
static inline __attribute__((always_inline)) void csp_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("isb" ::: "memory");
#endif
}

// MARK: Stack memory (stack.c)

/// Reserves `size` bytes of readable, writable, lazily committed address space aligned to `alignment`; NULL if refused.
void *csp_reserve(size_t size, size_t alignment);
void csp_release(void *address, size_t size);

/// Makes `size` bytes at each of `count` addresses, `stride` bytes apart, fault on any access: without splitting a mapping where the kernel can
/// (MADV_GUARD_INSTALL, Linux 6.13). `allow_guard_install` false forces mprotect. Returns 0, or errno.
int csp_install_guards(char *first, size_t stride, size_t count, size_t size, bool allow_guard_install);

/// Returns the memory of [address, address + size) to the system; it reads as zero afterwards.
void csp_discard(void *address, size_t size);

/// Zeroed memory that is never freed, for control blocks; NULL if there is none.
void *csp_immortal_memory(size_t size);

/// The same, one huge page of it.
enum { CSP_HUGE_PAGE = 2 << 20 };
void *csp_immortal_huge_page(void);

// MARK: Threads (thread.c)

/// Threads asleep for a lock, by a hash of its address; and whether membarrier works here.
/// Where it does not, each count begins at the bias.
enum { CSP_LOCK_BUCKETS = 64 };
static const uint32_t CSP_LOCK_BIAS = 1u << 31;
typedef struct {
    uint32_t sleepers[CSP_LOCK_BUCKETS];
    bool asymmetric;
} csp_lock_table_t;
extern csp_lock_table_t csp_lock_table;
static inline csp_lock_table_t *csp_get_lock_table(void) { return &csp_lock_table; }

/// Sleeps while *word == expected, at most `nanoseconds` (negative: for ever). May return early for no reason.
void csp_futex_wait(const uint32_t *word, uint32_t expected, int64_t nanoseconds);
void csp_futex_wake(const uint32_t *word, int count);

/// Registers for and runs membarrier(PRIVATE_EXPEDITED): on return, every thread of this process has executed a full
/// memory barrier. The first is false where the kernel refuses; the second then ends the process.
bool csp_membarrier_register(void);
void csp_membarrier(void);

/// Sleeps for so long, or less when there is a signal.
void csp_sleep(int64_t nanoseconds);

/// Something that happens once. NULL without memory.
uint32_t *csp_event_make(void);
void csp_event_signal(uint32_t *event);
void csp_event_wait(uint32_t *event);
void csp_event_free(uint32_t *event);

/// Starts a detached thread with a stack of `stack_size` bytes. Returns 0 or errno.
int csp_thread_start(size_t stack_size, const char *name, void (*body)(void *), void *argument);
/// Runs `body` on a thread of its own and waits for its end. Returns 0 or errno.
int csp_thread_run(size_t stack_size, void (*body)(void *), void *argument);

/// Threads of the runtime's own that, while no goroutine is runnable, do nothing to make one so. Each is counted after it has been started and
/// no longer before it ends: the count is never too high.
extern int32_t csp_own_thread_count;
static inline void csp_count_own_thread(int32_t change) {
    __atomic_fetch_add(&csp_own_thread_count, change, __ATOMIC_SEQ_CST);
}
static inline int32_t csp_own_threads(void) { return __atomic_load_n(&csp_own_thread_count, __ATOMIC_SEQ_CST); }
/// All threads of this process, those on their way out included; 0 where /proc does not tell.
int32_t csp_process_threads(void);

/// Nanoseconds that a thread of this process has run; -1 when it is gone.
int64_t csp_thread_cpu_time(int32_t thread);
/// Whether a thread of this process is blocked in the kernel, and not running or waiting for a CPU.
bool csp_thread_is_blocked(int32_t thread);

/// Lets other threads run.
int csp_yield_thread(void);

/// Has the calling thread's timeouts end within a microsecond and not, as is usual, 50 µs later.
void csp_wake_early(void);

/// Nanoseconds since boot, suspension included (CLOCK_BOOTTIME, which ContinuousClock also reads).
int64_t csp_now(void);

/// CPUs that this thread may run on, and the cgroup's quota in thousandths of a CPU (0: none).
int csp_affinity_cpus(void);
int64_t csp_cgroup_quota_milli(void);

/// A record of the calling thread's own, zeroed at its start; its address is valid until the thread ends.
typedef struct csp_thread_record {
    /// The futex of a plain thread that waits, and how long it spins first.
    uint32_t state;
    uint32_t linger;
    /// The worker that this thread is, or NULL, and its number, which no other thread has meanwhile: from 1, small ones first; 0 for any other
    /// thread.
    void *worker;
    uint64_t worker_number;
    /// Where the thread's fallback task-locals are, once asked for.
    uint64_t *task_locals;
    // For searches: see world.c.
    /// Of a thread that csp_thread_start has started: its id, where its stack begins to be the body's, and its neighbours in the list of them.
    int32_t thread;
    uintptr_t base;
    /// Its stack for signals, from the lowest address on; 0 if it has none.
    uintptr_t signal_stack;
    size_t signal_stack_size;
    struct csp_thread_record *next, *previous;
} csp_thread_record;
csp_thread_record *csp_current_thread_record(void);

/// Where the readers of one lock count themselves: cache lines for each worker, which nobody else writes to, and one for all other threads. A
/// worker needs no more than a load and a store. In and out are counted apart, so that both only grow.
typedef struct {
    uint64_t in;
    uint64_t out;
    /// In the first: how many slots there are.
    uint64_t count;
    uint64_t padding[13];
} csp_reader_slot;
/// Count the calling thread's reader in or out, which is visible no later than whatever it does next is, if there is a membarrier in between.
void csp_reader_in(csp_reader_slot *slots);
void csp_reader_out(csp_reader_slot *slots);

/// Where threads count themselves in and out of read sections: see ReadSection.swift. First those that threads share, then one for each
/// of the workers with the lowest numbers.
enum { CSP_SHARED_READ_GATES = 16, CSP_READ_GATES = 256 };
typedef struct {
    uint64_t in;
    uint64_t out;
    uint64_t out_elsewhere;
    uint64_t padding;
} csp_read_counts;
typedef struct {
    csp_read_counts banks[2];
    uint64_t padding[8];
} csp_read_gate;
extern csp_read_gate csp_read_gates[CSP_READ_GATES];
static inline csp_read_gate *csp_get_read_gate(int index) { return &csp_read_gates[index]; }
/// The calling thread's.
csp_read_gate *csp_current_read_gate(void);

/// 64 random bits from a generator of the calling thread's: quick, and good enough to choose victims and cases.
uint64_t csp_random(void);

// MARK: Swift's and C++'s thread state (thread_state.c)

/// The calling thread's block of thread locals of the library (or program) that `inside` points into. Returns its words,
/// 0 if there is none.
size_t csp_tls_block(const void *inside, uint64_t **block);

/// Bytes that belong to what malloc has returned.
size_t csp_usable_size(void *memory);
/// Addresses in the libraries that keep the state.
const void *csp_in_swift_core(void);
const void *csp_in_swift_concurrency(void);
/// Which word of libswiftCore's block holds the exclusivity access set; -1 when it cannot be found.
int64_t csp_probe_access_set(void);
/// C++'s exceptions in flight on this thread; NULL in a program without C++.
uint64_t *csp_cxa_globals(void);

// MARK: Coarse time (stack.c)

/// Nanoseconds as `csp_now` counts them, as they were when somebody last looked: the monitor, or a worker that woke up. A cache line of its own.
typedef struct {
    int64_t now __attribute__((aligned(64)));
} csp_coarse_clock_t;
extern csp_coarse_clock_t csp_coarse_clock;
static inline __attribute__((always_inline)) int64_t csp_coarse_now(void) {
    return __atomic_load_n(&csp_coarse_clock.now, __ATOMIC_RELAXED);
}
static inline void csp_set_coarse_now(int64_t now) { __atomic_store_n(&csp_coarse_clock.now, now, __ATOMIC_RELAXED); }

// MARK: Stack traces (stack_walk.c)

/// Return addresses, innermost first. Of a deep stack the first and the last ones; those between are only counted.
enum { CSP_TRACE_FIRST = 50, CSP_TRACE_LAST = 50, CSP_TRACE_MOST = CSP_TRACE_FIRST + CSP_TRACE_LAST };
typedef struct {
    uint32_t count;
    uint32_t omitted;
    uintptr_t frames[CSP_TRACE_MOST];
} csp_trace;
static inline const uintptr_t *csp_trace_frames(const csp_trace *trace) { return trace->frames; }

/// Follows the chain of frame pointers that begins with `pc` and `fp`, within [low, high), which must be mapped. Safe in a signal
/// handler, and on a stack that is in use: the result may then be nonsense.
void csp_walk_stack(uintptr_t pc, uintptr_t fp, uintptr_t low, uintptr_t high, csp_trace *trace);
/// The same on a stack whose bounds are not known; at most CSP_TRACE_MOST frames, the innermost.
void csp_walk_unbounded(uintptr_t pc, uintptr_t fp, uintptr_t sp, csp_trace *trace);
/// The caller's stack, from the calling function on.
void csp_walk_callers(csp_trace *trace);

/// Reads what another thread may be writing, acquiring; sanitizers do not see it.
uint64_t csp_peek_64(const void *address);
uint32_t csp_peek_32(const void *address);
uint8_t csp_peek_8(const void *address);
/// All reads before this have happened before those after it, as the writers, who do nothing for it, see them.
void csp_settle_reads(void);

/// The calling thread's id in the kernel.
int32_t csp_thread_id(void);

/// The goroutine on whose stack `address` lies, and that stack's lowest address and size; NULL for another thread's.
void *csp_slot_at(uintptr_t address, uintptr_t *bottom, size_t *size);
/// Where a signal interrupted, from the handler's third argument.
void csp_interrupted_at(const void *context, uintptr_t *pc, uintptr_t *fp, uintptr_t *sp);

/// What became of an attempt to see a running goroutine's stack.
typedef enum {
    CSP_CAPTURED,
    /// It blocks in the kernel; the trace may be short.
    CSP_IN_SYSTEM_CALL,
    /// Its thread does something else by now.
    CSP_NOT_THERE,
    /// Its thread did not answer in time.
    CSP_NO_ANSWER,
} csp_capture_result;

/// Looks at the stack of `goroutine`, which `thread` runs. Only between begin and end, one at a time.
csp_capture_result csp_capture(int32_t thread, void *goroutine, int64_t nanoseconds, csp_trace *trace);
void csp_begin_captures(void);
void csp_end_captures(void);

/// Calls `body` as if it had been called from the given return addresses, so that an unwinder that follows frame pointers finds them.
void csp_with_frames(const uintptr_t *addresses, uint32_t count, void (*body)(void *), void *argument);

// MARK: Goroutines that nobody can reach (world.c, reach.c; see Diagnostics/Leaks.swift)

/// The calling thread, whose stack ends at `base`, is the runtime's own from here on, until it is struck off again.
void csp_enlist_thread(uintptr_t base);
void csp_strike_thread(void);

/// What a search asks of a goroutine.
typedef enum {
    CSP_GOROUTINE_ABSENT,
    /// It runs, or can.
    CSP_GOROUTINE_LIVES,
    /// It waits for somebody.
    CSP_GOROUTINE_WAITS,
} csp_goroutine_state;
typedef struct {
    csp_goroutine_state state;
    /// Its stack: usable addresses, none if `stack_high` is 0, and where it was left; 0 if it was not.
    uintptr_t stack_low, stack_high, sp;
    /// Where its own place in wait lists is, in its control block.
    uintptr_t waiter;
    /// The parts of its control block that may hold what only the goroutine knows.
    uintptr_t block[2];
    size_t block_size[2];
} csp_goroutine_facts;
/// Called with each control block, in a copy of the process: must not allocate or lock.
typedef void (*csp_describe_goroutine)(void *goroutine, csp_goroutine_facts *facts);

typedef enum {
    CSP_SEARCH_DONE,
    /// The kernel does not let us stop the threads: a debugger has them, or the process may not be traced.
    CSP_SEARCH_REFUSED,
    CSP_SEARCH_NO_REGISTERS,
    CSP_SEARCH_NO_PROC,
    CSP_SEARCH_NO_COPY,
    CSP_SEARCH_TOO_MANY_THREADS,
    /// The copy of the process has ended before it was done; by a signal, if `error` is not 0.
    CSP_SEARCH_NO_ANSWER,
} csp_search_outcome;

/// A search, with room for so many blocks of `block_size` goroutines each, roots and hidden pieces of memory. NULL when there is no memory.
typedef struct csp_search csp_search;
csp_search *csp_search_make(csp_describe_goroutine describe, size_t blocks, size_t block_size, size_t roots, size_t hidden);
void csp_search_end(csp_search *search);
/// Control blocks. False when there is no room.
bool csp_search_add_block(csp_search *search, void *first, size_t count, size_t stride);
/// Memory that is reachable, although what it is part of is not looked at.
void csp_search_add_root(csp_search *search, const void *low, size_t size);
/// What malloc returned, which is not looked at. The caller sees to it that it is not freed before the copy is made.
void csp_search_hide(csp_search *search, const void *memory, size_t size);
/// Clears what earlier calls have left below the caller's frame.
void csp_scrub_stack(void);
/// Stops all threads, copies the process and lets them go on.
void csp_search_copy(csp_search *search);
/// Waits until the copy has been searched: goroutines that wait and cannot be reached, and what has prevented it. `error` is an errno, or 0.
csp_search_outcome csp_search_answer(csp_search *search, int *error, void *const **found, size_t *count);

// MARK: SIGQUIT (quit.c)

/// Bytes of stack for a thread that dumps: symbolication reads debug information recursively.
enum { CSP_DUMP_STACK_SIZE = 4 << 20 };

/// Where SIGQUIT has its default effect, or Swift's backtracer has it: has a thread of its own call `dump`, which ends the process, when it comes. Nothing otherwise,
/// and a handler that the program installs later replaces ours.
void csp_install_quit_handler(void (*dump)(void));

// MARK: Faults (fault.c)

/// Which part of a goroutine's description: what comes before its stack, or after it.
typedef enum { CSP_HEADING, CSP_CREATOR } csp_description;

/// Installs handlers for the synchronous fault signals that describe a goroutine and then chain to what was there.
/// `describe` writes that part of the description into a buffer and returns its length; it runs in a signal handler.
void csp_install_fault_handlers(
    size_t (*describe)(void *goroutine, csp_description part, char *buffer, size_t capacity));
/// Once: has `body` called on a thread of its own when the program faults, after its description, and before it goes down. Returns 0 or errno.
int csp_install_last_words(void (*body)(void));
/// Whether this is the process that has called it, and no copy by fork.
bool csp_is_process_with_last_words(void);
/// What `signal` did before ours was installed.
void csp_action_before(int signal, struct sigaction *action);
/// Gives the calling thread an alternate signal stack, and lets the signal through that dumps need; or takes the stack away.
void csp_prepare_for_signals(void);
void csp_remove_signal_stack(void);
/// Calls `body` on a thread of its own and waits. False if that faulted, whose thread then ended there, if it could not be started, or if the
/// program handles faults itself. One at a time.
bool csp_run_expendable(void (*body)(void *), void *argument);
/// Writes all of it, with no locks and no allocation, to stderr or any descriptor.
void csp_write_error(const char *bytes, size_t count);
void csp_write(int file, const char *bytes, size_t count);
/// Ends the process by the trap instruction, as Swift's own fatal errors do.
void csp_trap(void) __attribute__((noreturn));
/// The name of the function that holds the call before the return address `address`, demangled where that is safe; NUL-terminated. False if
/// unknown. `offset`, if not NULL, receives how far into the function it is.
bool csp_symbol_name(const void *address, char *buffer, size_t capacity, uintptr_t *offset);

// MARK: Exploration (thread.c)

extern int csp_bubbles, csp_guides;
/// Whether there are bubbles. Never false for their members: who made one has counted it before.
static inline bool csp_has_bubbles(void) { return __atomic_load_n(&csp_bubbles, __ATOMIC_RELAXED) != 0; }
/// The same for bubbles with a guide, which chooses whose turn it is.
static inline bool csp_is_exploring(void) { return __atomic_load_n(&csp_guides, __ATOMIC_RELAXED) != 0; }
/// One more, or with -1 one less.
void csp_count_bubbles(int change, bool guided);

// MARK: Watching (watch.c, profile.c)

/// Who wants to know what goroutines do. The first is for ever: a sanitizer.
enum { CSP_WATCH_FIBERS = 1, CSP_WATCH_TRACE = 2, CSP_WATCH_WAITING = 4, CSP_WATCH_BLOCK = 8, CSP_WATCH_MUTEX = 16 };
extern uint32_t csp_watched;
/// All of them at once: 0 nearly always.
static inline __attribute__((always_inline)) uint32_t csp_watch(void) { return __atomic_load_n(&csp_watched, __ATOMIC_RELAXED); }
void csp_set_watch(uint32_t which, bool on);
/// When the last time began that anybody watched: what goroutines have noted before is out of date.
int64_t csp_watch_since(void);

/// Who has started threads for goroutines. Kept in memory of its own: this happens anywhere, also where a search for leaks is about to begin, to which whatever a heap gives out may look
/// like addresses. `note`: the caller starts one. `start_at`: how often the stack of that number has, and its frames; 0 when there are no more.
void csp_note_thread_start(void);
uint64_t csp_thread_start_at(uint32_t number, csp_trace *trace);

/// Memory of the arena that is there, by the kernel's word; 0 when it does not tell.
long csp_resident_stack_bytes(void);

/// What a thread did when it had used CPU time for a period.
typedef struct {
    /// The goroutine that it ran, or NULL.
    void *goroutine;
    uint64_t goroutine_id;
    /// Periods since the sample before.
    uint32_t weight;
    csp_trace trace;
} csp_sample;

static inline const csp_trace *csp_sample_trace(const csp_sample *sample) { return &sample->trace; }


/// Has every thread of the process sampled `hertz` times per second of its CPU time, those that begin later once csp_profile_threads was called. One
/// profile at a time. `id_offset`: where in a control block the goroutine's id is. 0 or errno: EBUSY if somebody else has SIGPROF.
int csp_profile_begin(uint32_t hertz, size_t id_offset);
/// Finds threads that are new. Returns how many there are.
int csp_profile_threads(void);
/// Takes a sample; false when there are none. One caller at a time.
bool csp_profile_take(csp_sample *sample);
/// Samples that found no room, and timers that the kernel refused.
void csp_profile_losses(uint64_t *samples, uint64_t *threads);
void csp_profile_end(void);

// MARK: Fibers (race.c, address.c)

/// Whether the program is built with a sanitizer that must know of switches: --sanitize=thread or --sanitize=address. Otherwise nothing below
/// is called.
extern const bool csp_has_fibers;

/// A line of execution as the sanitizer sees it: a goroutine's, which begins after what its creator has done so far, or a thread's own.
typedef struct csp_fiber csp_fiber;
csp_fiber *csp_fiber_create(void);
csp_fiber *csp_fiber_of_thread(void);
/// The stack that it will run on, without its guard.
void csp_fiber_place(csp_fiber *fiber, void *bottom, size_t size);
/// From another one.
void csp_fiber_destroy(csp_fiber *fiber, bool is_thread);
/// What the calling thread does from here on belongs to `to`: right before the stacks are switched. `is_last`: the line that is left ends here.
void csp_fiber_switch(csp_fiber *from, csp_fiber *to, bool is_last);
/// Right after the stacks were switched, on that of `fiber`.
void csp_fiber_arrive(csp_fiber *fiber);

/// What is referred to from this memory, which is never freed, is no leak.
void csp_keep_reachable(const void *address, size_t size);

// MARK: ThreadSanitizer (race.c)

/// Whether the program is built with --sanitize=thread. Otherwise nothing below does anything.
extern const bool csp_detects_races;

/// What the caller has done happens before what follows `woken` there.
void csp_fiber_wakes(csp_fiber *fiber);
void csp_fiber_woken(csp_fiber *fiber);
/// What happens before a release of `address` happens before what follows an acquire of it.
void csp_race_release(const void *address);
void csp_race_acquire(const void *address);
/// Begins a new life of memory that is used again.
void csp_race_forget(const void *address, size_t size);
/// From `ignore` to `heed`, which may be nested, the calling line's accesses and synchronization do not count.
void csp_race_ignore(void);
void csp_race_heed(void);
/// Of reads and writes only: what orders threads is still seen.
void csp_race_ignore_accesses(void);
void csp_race_heed_accesses(void);

// MARK: Descriptors that goroutines wait for (epoll.c)

/// What is asked for, and what is found: something to read, room to write, or nothing more to come although there may be something to read.
enum { CSP_POLL_READ = 1, CSP_POLL_WRITE = 2, CSP_POLL_HANGUP = 4, CSP_POLL_BATCH = 128 };
typedef struct {
    uint64_t token;
    uint32_t what;
} csp_poll_event;

/// An epoll descriptor, and one that breaks its wait; or -errno.
int csp_epoll_open(int *interrupter);
/// Reports changes of `descriptor` from now on, and how it is now, with `token`, which is not 0. Returns 0 or errno.
int csp_epoll_watch(int epoll, int descriptor, uint64_t token, uint32_t interest, bool is_new);
void csp_epoll_forget(int epoll, int descriptor);
/// Waits for events, at most `nanoseconds` (negative: for ever; 0: only looks). Returns how many of CSP_POLL_BATCH there are. May return early
/// with none, as it does after an interruption, which ends the wait that goes on or else the next one.
int csp_epoll_wait(int epoll, int interrupter, csp_poll_event *events, int64_t nanoseconds);
void csp_epoll_interrupt(int interrupter);
/// Whether there seem to be events, which are left for others.
bool csp_epoll_has_events(int epoll);
/// Returns 0 or errno.
int csp_close(int descriptor);
/// accept4(2): what comes in neither blocks nor is inherited.
int csp_accept(int descriptor, void *address, uint32_t *length);
/// A pipe that neither blocks nor is inherited, with room for `size` bytes if that is not 0 and the kernel allows it. The end for reading comes first. Returns 0 or errno.
int csp_open_pipe(int *ends, int size);
/// splice(2) without waiting for the pipe, which one of the two is.
ssize_t csp_splice(int from, int to, size_t count);
/// sendfile(2): from `offset`, which it advances, or the file's own position.
ssize_t csp_send_file(int to, int from, int64_t *offset, size_t count);
/// pidfd_open(2): a descriptor that is readable once the process has ended, or an error's number, negative.
int csp_open_process(int id);
/// How the child process has ended that a descriptor stands for: the exit status or the signal. Returns 0, EAGAIN if it has not, or another errno.
int csp_reap_process(int descriptor, int *code, bool *was_killed);

/// Between the two, a write to a pipe that nobody reads gives the calling thread no SIGPIPE but an error.
typedef struct {
    sigset_t before;
    bool was_pending;
} csp_pipe_signal;
void csp_hold_pipe_signal(csp_pipe_signal *state);
void csp_release_pipe_signal(csp_pipe_signal *state);

// MARK: Signals that contexts wait for (signal.c)

/// Makes `signal` (1 to 64) one that `csp_signal_wait` returns, and forgets it if it is pending. Keeps what it meant before. Returns 0 or errno.
/// The caller keeps a lock over this and csp_signal_release.
int csp_signal_catch(int signal);
/// Makes it what it was before, unless somebody else has set a handler meanwhile.
void csp_signal_release(int signal);
/// Waits for signals: a bit for each, from 1 in the lowest; none after csp_signal_interrupt. One thread at a time, which then blocks all signals.
uint64_t csp_signal_wait(void);
void csp_signal_interrupt(void);

#ifdef __cplusplus
}
#endif
#endif
