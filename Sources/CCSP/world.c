#define _GNU_SOURCE
// Stops all threads, reads their registers and copies the process, for a search of its memory: see Diagnostics/Leaks.swift.
//
// A process cannot trace itself, so another one does, which shares the memory: the tracer. It attaches to each thread, which stops wherever it is, in a
// system call or not, with its signals blocked or not; then it makes a copy of the process, by fork, and lets the threads go. The copy has the memory as it
// was at that moment, and all the time it needs. LeakSanitizer stops threads in the same way.
#include "search.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

// MARK: The runtime's own threads

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static csp_thread_record *first_own;

void csp_enlist_thread(uintptr_t base) {
    csp_thread_record *own = csp_current_thread_record();
    own->thread = csp_thread_id();
    own->base = base;
    own->previous = NULL;
    pthread_mutex_lock(&own_lock);
    own->next = first_own;
    if (first_own) first_own->previous = own;
    first_own = own;
    pthread_mutex_unlock(&own_lock);
}

void csp_strike_thread(void) {
    csp_thread_record *own = csp_current_thread_record();
    pthread_mutex_lock(&own_lock);
    if (own->next) own->next->previous = own->previous;
    *(own->previous ? &own->previous->next : &first_own) = own->next;
    pthread_mutex_unlock(&own_lock);
}

// MARK: What a search is told

static size_t rounded(size_t size) { return (size + 4095) & ~(size_t)4095; }

enum { STACK_SIZE = 256 << 10 };

static char *map(size_t size, int sharing) {
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

csp_search *csp_search_make(csp_describe_goroutine describe, size_t blocks, size_t block_size, size_t roots, size_t hidden) {
    size_t threads = (size_t)csp_process_threads() * 2 + 64;
    size_t sizes[] = {sizeof(csp_search),      blocks * sizeof(csp_range),          roots * sizeof(csp_range),
                      hidden * sizeof(csp_range), threads * sizeof(csp_own_thread), threads * sizeof(csp_stopped_thread),
                      blocks * block_size * sizeof(void *)};
    size_t total = 0, places[7];
    for (int i = 0; i < 7; i++) {
        places[i] = total;
        total += rounded(sizes[i]);
    }
    // Touched only as far as it is used.
    char *memory = map(total, MAP_SHARED);
    if (!memory) return NULL;
    // The copy needs one of its own: not shared.
    char *stack = map(STACK_SIZE, MAP_PRIVATE);
    if (!stack) {
        munmap(memory, total);
        return NULL;
    }
    csp_search *search = (csp_search *)memory;
    search->own = (csp_range){(uintptr_t)memory, (uintptr_t)memory + total};
    search->describe = describe;
    search->blocks = (csp_range *)(memory + places[1]);
    search->block_capacity = blocks;
    search->block_stride = 0;
    search->roots = (csp_range *)(memory + places[2]);
    search->root_capacity = roots;
    search->hidden = (csp_range *)(memory + places[3]);
    search->hidden_capacity = hidden;
    search->own_threads = (csp_own_thread *)(memory + places[4]);
    search->threads = (csp_stopped_thread *)(memory + places[5]);
    search->own_capacity = search->thread_capacity = threads;
    search->found = (void **)(memory + places[6]);
    search->stack = (csp_range){(uintptr_t)stack, (uintptr_t)stack + STACK_SIZE};
    return search;
}

void csp_search_end(csp_search *search) {
    munmap((void *)search->stack.low, STACK_SIZE);
    munmap(search, search->own.high - search->own.low);
}

bool csp_search_add_block(csp_search *search, void *first, size_t count, size_t stride) {
    if (search->block_count == search->block_capacity) return false;
    search->block_stride = stride;
    search->blocks[search->block_count++] = (csp_range){(uintptr_t)first, (uintptr_t)first + count * stride};
    return true;
}

void csp_search_add_root(csp_search *search, const void *low, size_t size) {
    if (search->root_count == search->root_capacity) abort();
    search->roots[search->root_count++] = (csp_range){(uintptr_t)low, (uintptr_t)low + size};
}

void csp_search_hide(csp_search *search, const void *memory, size_t size) {
    if (search->hidden_count == search->hidden_capacity) return;
    search->hidden[search->hidden_count++] = (csp_range){(uintptr_t)memory, (uintptr_t)memory + size};
}

// With the lock held.
static bool list_own_threads(csp_search *search) {
    for (csp_thread_record *each = first_own; each; each = each->next) {
        if (search->own_count == search->own_capacity) return false;
        search->own_threads[search->own_count++] = (csp_own_thread){
            each->thread, each->base, {each->signal_stack, each->signal_stack + each->signal_stack_size}, each->worker};
    }
    return true;
}

// MARK: The tracer, which shares the memory and must not use what it shares with the thread that waits for it: it makes system calls only

static bool is_zombie(int32_t process, int32_t thread) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", process, thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return true;
    ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    if (length <= 0) return true;
    line[length] = 0;
    const char *name_end = strrchr(line, ')');
    return name_end && (name_end[2] == 'Z' || name_end[2] == 'X');
}

static bool is_stopped(const csp_search *search, int32_t thread) {
    for (size_t i = 0; i < search->thread_count; i++) {
        if (search->threads[i].thread == thread) return true;
    }
    return false;
}

static bool fail(csp_search *search, csp_search_outcome outcome) {
    search->error = errno;
    search->outcome = outcome;
    return false;
}

static bool read_registers(csp_search *search, csp_stopped_thread *stopped) {
    struct iovec general = {stopped->registers, sizeof stopped->registers};
    if (ptrace(PTRACE_GETREGSET, stopped->thread, NT_PRSTATUS, &general) != 0) return fail(search, CSP_SEARCH_NO_REGISTERS);
    const struct user_regs_struct *user = (const struct user_regs_struct *)stopped->registers;
#if defined(__x86_64__)
    stopped->sp = user->rsp;
    stopped->pc = user->rip;
    stopped->is_in_system_call = (int64_t)user->orig_rax >= 0;
    int vectors = NT_X86_XSTATE;
#else
    stopped->sp = user->sp;
    stopped->pc = user->pc;
    int vectors = NT_PRFPREG;
#endif
    stopped->general_words = general.iov_len / sizeof(uintptr_t);
    struct iovec rest = {(char *)stopped->registers + general.iov_len, sizeof stopped->registers - general.iov_len};
    if (ptrace(PTRACE_GETREGSET, stopped->thread, vectors, &rest) != 0) return fail(search, CSP_SEARCH_NO_REGISTERS);
    stopped->register_words = (general.iov_len + rest.iov_len) / sizeof(uintptr_t);
    return true;
}

// False when the search cannot go on.
static bool stop_thread(csp_search *search, int32_t thread) {
    if (search->thread_count == search->thread_capacity) return fail(search, CSP_SEARCH_TOO_MANY_THREADS);
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0) {
        // It has ended, or it is the main thread, which stays until the others have.
        if (errno == ESRCH) return true;
        int error = errno;
        if (is_zombie(search->process, thread)) return true;
        errno = error;
        return fail(search, CSP_SEARCH_REFUSED);
    }
    csp_stopped_thread *stopped = &search->threads[search->thread_count];
    stopped->thread = thread;
    stopped->signal = 0;
    if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0) return true;
    int status;
    while (waitpid(thread, &status, __WALL) != thread) {
        if (errno != EINTR) return true;
    }
    if (!WIFSTOPPED(status)) return true;
    // Stopped by us, or else on its way to a signal's handler.
    if (status >> 16 == 0) stopped->signal = WSTOPSIG(status);
    search->thread_count++;
    return read_registers(search, stopped);
}

typedef struct {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
} entry_t;

// Until a look finds none that runs: each may have started others before it was stopped.
static bool stop_threads(csp_search *search) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", search->process);
    for (bool found_one = true; found_one;) {
        found_one = false;
        int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return fail(search, CSP_SEARCH_NO_PROC);
        char buffer[4096] __attribute__((aligned(8)));
        long length;
        while ((length = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0) {
            for (long place = 0; place < length; place += ((entry_t *)(buffer + place))->length) {
                int32_t thread = (int32_t)atoi(((entry_t *)(buffer + place))->name);
                if (thread <= 0 || is_stopped(search, thread)) continue;
                size_t count = search->thread_count;
                if (!stop_thread(search, thread)) {
                    close(folder);
                    return false;
                }
                if (search->thread_count > count) found_one = true;
            }
        }
        close(folder);
        if (length < 0) return fail(search, CSP_SEARCH_NO_PROC);
    }
    return true;
}

static int trace(void *argument) {
    csp_search *search = argument;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (__atomic_load_n(&search->may_trace, __ATOMIC_ACQUIRE) == 0) syscall(SYS_futex, &search->may_trace, 0 /* WAIT */, 0, NULL, NULL, 0);
    if (stop_threads(search)) {
        // A child of the process, not of the tracer.
        long copy = syscall(SYS_clone, (unsigned long)CLONE_PARENT, NULL, NULL, NULL, NULL);
        if (copy == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            csp_search_memory(search);
            _exit(0);
        }
        if (copy < 0)
            fail(search, CSP_SEARCH_NO_COPY);
        else
            search->copy = (int32_t)copy;
    }
    for (size_t i = 0; i < search->thread_count; i++) {
        ptrace(PTRACE_DETACH, search->threads[i].thread, NULL, (void *)(intptr_t)search->threads[i].signal);
    }
    return 0;
}

// MARK: The thread that searches

__attribute__((noinline)) void csp_scrub_stack(void) {
    char rest[4096];
    memset(rest, 0, sizeof rest);
    __asm__ volatile("" : : "r"(rest) : "memory");
}

// Returns the signal by which it ended, or 0.
static int wait_for(int32_t process) {
    int status = 0;
    while (waitpid(process, &status, __WALL) < 0 && errno == EINTR) {}
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void csp_search_copy(csp_search *search) {
    search->process = (int32_t)getpid();
    search->outcome = CSP_SEARCH_NO_ANSWER;
    pthread_attr_t attributes;
    if (pthread_getattr_default_np(&attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &search->usual_thread_stack);
        pthread_attr_destroy(&attributes);
    }
    // The tracer and the copy must not run the program's handlers.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&own_lock);
    if (list_own_threads(search)) {
        // No signal to the parent at its end, and only a wait that asks for such children finds it.
        search->tracer = clone(trace, (void *)search->stack.high, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED, search);
        if (search->tracer < 0) {
            fail(search, CSP_SEARCH_NO_COPY);
        } else {
            // Where Yama restricts tracing to descendants; elsewhere it fails, and is not needed.
            prctl(PR_SET_PTRACER, (unsigned long)search->tracer, 0, 0, 0);
            __atomic_store_n(&search->may_trace, 1, __ATOMIC_RELEASE);
            syscall(SYS_futex, &search->may_trace, 1 /* WAKE */, 1, NULL, NULL, 0);
            wait_for(search->tracer);
            prctl(PR_SET_PTRACER, 0, 0, 0, 0);
        }
    } else {
        search->outcome = CSP_SEARCH_TOO_MANY_THREADS;
    }
    pthread_mutex_unlock(&own_lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

csp_search_outcome csp_search_answer(csp_search *search, int *error, void *const **found, size_t *count) {
    if (search->copy > 0) {
        int signal = wait_for(search->copy);
        if (signal) search->error = signal;
    }
    *error = search->error;
    *found = search->found;
    *count = search->found_count;
    return search->outcome;
}
