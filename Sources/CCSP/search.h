// What stands between the two halves of a search for goroutines that nobody can reach: world.c stops the threads and copies the process,
// reach.c looks at the copy's memory.
#ifndef CSP_SEARCH_H
#define CSP_SEARCH_H

#include "ccsp.h"

typedef struct {
    uintptr_t low, high;
} csp_range;

/// A thread as it was stopped.
typedef struct {
    int32_t thread;
    /// The signal that it was about to take, which it is given later.
    int32_t signal;
    uintptr_t sp, pc;
    bool is_in_system_call;
    size_t general_words, register_words;
    // The general ones, then the vector ones, which may hold what is being copied: AVX-512's and AMX's tiles are the largest.
    uintptr_t registers[1536];
} csp_stopped_thread;

/// One of the runtime's own threads, whose stack ends at `base`; if it is a worker's, what lies below is the scheduler's.
typedef struct {
    int32_t thread;
    uintptr_t base;
    csp_range signal_stack;
    void *worker;
} csp_own_thread;

struct csp_search {
    /// This and all that it points to: shared with the copy, which answers here. Not looked at, nor is the stack of those who search.
    csp_range own, stack;
    csp_describe_goroutine describe;
    csp_range *blocks;
    size_t block_count, block_capacity, block_stride;
    csp_range *roots;
    size_t root_count, root_capacity;
    csp_range *hidden;
    size_t hidden_count, hidden_capacity;
    csp_own_thread *own_threads;
    size_t own_count, own_capacity;
    csp_stopped_thread *threads;
    size_t thread_count, thread_capacity;
    /// Room for the copy's answer: as many as there are control blocks.
    void **found;
    size_t found_count;
    size_t usual_thread_stack;
    int32_t process, tracer, copy;
    uint32_t may_trace;
    /// What prevented it, or CSP_SEARCH_DONE at the end.
    csp_search_outcome outcome;
    int error;
};

/// In the copy: fills in `found`, `found_count` and `outcome`. Allocates by mmap only, and takes no lock: others may have held them.
void csp_search_memory(csp_search *search);

#endif
