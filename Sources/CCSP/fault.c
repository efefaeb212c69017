#define _GNU_SOURCE
// Faults: say which goroutine it was, then leave the fault to whoever would have had it without us.
#include "ccsp.h"
#include "sanitizer.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
enum { SIGNALS = sizeof signals / sizeof *signals };
static struct sigaction before[SIGNALS];
static size_t (*describe_goroutine)(void *, csp_description, char *, size_t);

void csp_write(int file, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(file, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        bytes += written;
        count -= (size_t)written;
    }
}

void csp_write_error(const char *bytes, size_t count) { csp_write(STDERR_FILENO, bytes, count); }

void csp_trap(void) { __builtin_trap(); }

// Demangling allocates. Not when the fault is in the C library, perhaps in malloc, whose lock this thread would then wait for in vain: a stack
// overflows in the deepest function, which often is malloc.
static bool may_demangle = true;

static void forbid_demangling_inside_malloc(uintptr_t pc) {
    Dl_info library, fault;
    if (dladdr((void *)malloc, &library) && dladdr((void *)pc, &fault)) may_demangle = library.dli_fbase != fault.dli_fbase;
}

static void put(const char *text) { csp_write_error(text, strlen(text)); }

static void put_number(size_t number, size_t base) {
    char digits[24];
    size_t at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    csp_write_error(digits + at, sizeof digits - at);
}

static void put_frame(uintptr_t address) {
    static char name[1024];
    static uintptr_t named, offset;
    static bool known;
    // A recursion's frames are all the same.
    if (named != address) known = csp_symbol_name((void *)address, name, sizeof name, &offset);
    named = address;
    put(known ? name : "unknown function");
    put("\n\t");
    Dl_info info;
    put(dladdr((void *)address, &info) && info.dli_fname ? info.dli_fname : "unknown file");
    if (known) {
        put(" +0x");
        put_number(offset, 16);
    }
    put("\n");
}

static void put_trace(const ucontext_t *context, uintptr_t bottom, size_t size) {
    uintptr_t pc, fp, sp;
    static csp_trace trace;
    csp_interrupted_at(context, &pc, &fp, &sp);
    csp_walk_stack(pc + 1, fp, bottom + CSP_GUARD_SIZE, bottom + size, &trace);
    for (uint32_t i = 0; i < trace.count; i++) {
        if (i == CSP_TRACE_FIRST && trace.omitted > 0) {
            put("...");
            put_number(trace.omitted, 10);
            put(" frames omitted...\n");
        }
        put_frame(trace.frames[i]);
    }
}

static void report(void *goroutine, int signal, uintptr_t fault, const ucontext_t *context, uintptr_t bottom, size_t size) {
    bool overflow = (signal == SIGSEGV || signal == SIGBUS) && fault >= bottom && fault < bottom + CSP_GUARD_SIZE;
    if (overflow) {
        put("fatal error: goroutine stack overflow\n\nThe goroutine's stack of ");
        put_number(size, 10);
        put(" bytes is used up: pass more to go(stackSize:), say ");
        put_number(size * 4, 10);
        put(".\n");
    }
    static char text[1024];
    csp_write_error(text, describe_goroutine(goroutine, CSP_HEADING, text, sizeof text));
    if (overflow) put_trace(context, bottom, size);
    csp_write_error(text, describe_goroutine(goroutine, CSP_CREATOR, text, sizeof text));
}

// A thread that may fault: it then just ends, and its stack is lost.
static int32_t expendable;
enum { WORKING, DONE, FAULTED };
static uint32_t outcome;

static void finish_expendable(uint32_t how) {
    __atomic_store_n(&expendable, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&outcome, how, __ATOMIC_RELEASE);
    csp_futex_wake(&outcome, 1);
}

// For a thread that has faulted: whatever it holds is never let go of.
_Noreturn static void give_up(const void *registers) {
#if CSP_ASAN
    // The leak detector misses a thread that is gone, and reports what it held. So it stays; what was in registers is on the signal's stack.
    csp_keep_reachable(registers, sizeof(ucontext_t));
    finish_expendable(FAULTED);
    for (;;) pause();
#else
    (void)registers;
    finish_expendable(FAULTED);
    for (;;) syscall(SYS_exit, 0);
#endif
}

// What the program has to say before it goes down, on a thread that waits for that. It may need what the faulting thread holds, for ever.
static void (*last_words)(void);
static pid_t last_process;
static int32_t last_thread;
// How often it was asked for, and answered.
static uint32_t last_request, last_answer;
enum { LAST_WORDS_SECONDS = 10 };

static void wait_for_fault(void *unused) {
    (void)unused;
    __atomic_store_n(&last_thread, csp_thread_id(), __ATOMIC_RELEASE);
    // The program may survive, if a handler of its own goes on elsewhere.
    for (uint32_t answered = 0;;) {
        uint32_t asked = __atomic_load_n(&last_request, __ATOMIC_ACQUIRE);
        if (asked == answered) {
            csp_futex_wait(&last_request, asked, -1);
            continue;
        }
        last_words();
        answered = asked;
        __atomic_store_n(&last_answer, answered, __ATOMIC_RELEASE);
        csp_futex_wake(&last_answer, INT_MAX);
    }
}

int csp_install_last_words(void (*body)(void)) {
    last_process = getpid();
    int error = csp_thread_start(CSP_DUMP_STACK_SIZE, "csp-trace", wait_for_fault, NULL);
    if (error != 0) return error;
    csp_count_own_thread(1);
    __atomic_store_n(&last_words, body, __ATOMIC_RELEASE);
    return 0;
}

bool csp_is_process_with_last_words(void) { return last_process == getpid(); }

static void say_last_words(void) {
    if (!__atomic_load_n(&last_words, __ATOMIC_ACQUIRE) || !csp_is_process_with_last_words()) return;
    if (__atomic_load_n(&last_thread, __ATOMIC_ACQUIRE) == csp_thread_id()) return;
    uint32_t mine = __atomic_add_fetch(&last_request, 1, __ATOMIC_ACQ_REL), answer;
    csp_futex_wake(&last_request, 1);
    int64_t deadline = csp_now() + LAST_WORDS_SECONDS * 1000000000LL, left;
    while ((int32_t)((answer = __atomic_load_n(&last_answer, __ATOMIC_ACQUIRE)) - mine) < 0 && (left = deadline - csp_now()) > 0) {
        csp_futex_wait(&last_answer, answer, left);
    }
}

static void handle(int signal, siginfo_t *info, void *opaque) {
    int saved = errno;
    if (__atomic_load_n(&expendable, __ATOMIC_RELAXED) == csp_thread_id() && (signal == SIGSEGV || signal == SIGBUS)) {
        give_up(opaque);
    }
    // Two threads may fault at once: the first one reports, with memory that is not on the small signal stack, and the others wait for a while,
    // since they end the process. Not so a fault in the report itself.
    static int32_t reporter;
    uintptr_t bottom = 0, pc, fp, sp;
    size_t size = 0;
    csp_interrupted_at(opaque, &pc, &fp, &sp);
    void *goroutine = csp_slot_at(sp, &bottom, &size);
    int32_t nobody = 0, self = csp_thread_id();
    if (goroutine && __atomic_compare_exchange_n(&reporter, &nobody, self, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        forbid_demangling_inside_malloc(pc);
        report(goroutine, signal, (uintptr_t)info->si_addr, opaque, bottom, size);
        __atomic_store_n(&reporter, 0, __ATOMIC_RELEASE);
    } else if (goroutine && nobody != self) {
        struct timespec moment = {0, 1000000};
        for (int i = 0; i < 1000 && __atomic_load_n(&reporter, __ATOMIC_ACQUIRE); i++) nanosleep(&moment, NULL);
    }
    say_last_words();
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i] == signal) sigaction(signal, &before[i], NULL);
    }
    errno = saved;
    // A fault repeats when we return, with the handler that was there before; a signal that was sent does not.
    if (info->si_code <= 0 || signal == SIGABRT) raise(signal);
}

void csp_install_fault_handlers(size_t (*describe)(void *, csp_description, char *, size_t)) {
    describe_goroutine = describe;
    struct sigaction action = {0};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &before[i]);
}

typedef struct {
    void (*body)(void *);
    void *argument;
} errand_t;

static void run_errand(void *opaque) {
    errand_t errand = *(errand_t *)opaque;
    __atomic_store_n(&expendable, csp_thread_id(), __ATOMIC_RELAXED);
    errand.body(errand.argument);
    finish_expendable(DONE);
}

bool csp_run_expendable(void (*body)(void *), void *argument) {
    struct sigaction now;
    // The program has taken the faults over.
    if (sigaction(SIGSEGV, NULL, &now) != 0 || now.sa_sigaction != handle) return false;
    errand_t errand = {body, argument};
    __atomic_store_n(&outcome, WORKING, __ATOMIC_RELAXED);
    if (csp_thread_start(CSP_DUMP_STACK_SIZE, "csp-dump", run_errand, &errand) != 0) return false;
    while (__atomic_load_n(&outcome, __ATOMIC_ACQUIRE) == WORKING) csp_futex_wait(&outcome, WORKING, -1);
    return outcome == DONE;
}

void csp_action_before(int signal, struct sigaction *action) {
    *action = (struct sigaction){0};
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i] == signal) *action = before[i];
    }
}

void csp_prepare_for_signals(void) {
    size_t size = 64 << 10;
    stack_t stack = {.ss_sp = csp_immortal_memory(size), .ss_size = size};
    if (stack.ss_sp) {
        sigaltstack(&stack, NULL);
        csp_current_thread_record()->signal_stack_size = size;
        csp_current_thread_record()->signal_stack = (uintptr_t)stack.ss_sp;
    }
    // Dumps ask by this one: see stack_walk.c. Whoever started this thread may have blocked it.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void csp_remove_signal_stack(void) {
    csp_current_thread_record()->signal_stack = 0;
    stack_t none = {.ss_flags = SS_DISABLE}, old;
    if (sigaltstack(&none, &old) == 0 && !(old.ss_flags & SS_DISABLE)) munmap(old.ss_sp, old.ss_size);
}

// Looks `offset` up in the symbol table of the file, which is mapped: no allocation.
static bool symbol_in_file(const char *path, uintptr_t offset, char *buffer, size_t capacity, uintptr_t *start) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0) return false;
    if (fstat(file, &status) != 0 || status.st_size < (off_t)sizeof(ElfW(Ehdr))) {
        close(file);
        return false;
    }
    size_t size = (size_t)status.st_size;
    const char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (bytes == MAP_FAILED) return false;
    bool found = false;
    const ElfW(Ehdr) *header = (const void *)bytes;
    const ElfW(Shdr) *sections = (const void *)(bytes + header->e_shoff);
    if (header->e_shoff == 0 || header->e_shoff + header->e_shnum * sizeof *sections > size) goto done;
    for (int i = 0; i < header->e_shnum && !found; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum) continue;
        const ElfW(Shdr) *strings = &sections[sections[i].sh_link];
        if (sections[i].sh_offset + sections[i].sh_size > size || strings->sh_offset + strings->sh_size > size) continue;
        const ElfW(Sym) *symbols = (const void *)(bytes + sections[i].sh_offset);
        for (size_t k = 0; k < sections[i].sh_size / sizeof *symbols; k++) {
            if ((symbols[k].st_info & 15) != STT_FUNC || offset < symbols[k].st_value) continue;
            if (offset >= symbols[k].st_value + symbols[k].st_size || symbols[k].st_name >= strings->sh_size) continue;
            strncpy(buffer, bytes + strings->sh_offset + symbols[k].st_name, capacity - 1);
            buffer[capacity - 1] = 0;
            *start = symbols[k].st_value;
            found = true;
            break;
        }
    }
done:
    munmap((void *)bytes, size);
    return found;
}

extern char *swift_demangle(const char *name, size_t length, char *output, size_t *output_size, uint32_t flags)
    __attribute__((weak));

bool csp_symbol_name(const void *address, char *buffer, size_t capacity, uintptr_t *into) {
    if (capacity < 2) return false;
    // The call before the return address.
    const void *call = (const char *)address - 1;
    Dl_info info;
    if (!dladdr(call, &info)) return false;
    char mangled[2048];
    uintptr_t offset = (uintptr_t)call - (uintptr_t)info.dli_fbase, start = 0;
    // The main program's own name may be relative: read it from the kernel.
    extern char __executable_start[] __attribute__((weak));
    const char *path = info.dli_fbase == (void *)__executable_start ? "/proc/self/exe" : info.dli_fname;
    const ElfW(Ehdr) *header = info.dli_fbase;
    if (header->e_type == ET_EXEC) offset = (uintptr_t)call;
    if (symbol_in_file(path, offset, mangled, sizeof mangled, &start)) {
        if (into) *into = offset + 1 - start;
    } else {
        if (!info.dli_sname) return false;
        if (into) *into = (uintptr_t)address - (uintptr_t)info.dli_saddr;
        strncpy(mangled, info.dli_sname, sizeof mangled - 1);
        mangled[sizeof mangled - 1] = 0;
    }
    size_t size = capacity;
    if (may_demangle && swift_demangle && swift_demangle(mangled, strlen(mangled), buffer, &size, 0)) {
        buffer[capacity - 1] = 0;
        return true;
    }
    strncpy(buffer, mangled, capacity - 1);
    buffer[capacity - 1] = 0;
    return true;
}
