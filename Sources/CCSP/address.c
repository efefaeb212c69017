// What AddressSanitizer and its leak detector are told of goroutines.
#include "ccsp.h"
#include "sanitizer.h"

#if CSP_ASAN || CSP_TSAN
const bool csp_has_fibers = true;
#else
const bool csp_has_fibers = false;
#endif

#if CSP_ASAN

#include <stdlib.h>

// compiler-rt's include/sanitizer.
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
void *__asan_get_current_fake_stack(void);
void *__asan_addr_is_in_fake_stack(void *fake_stack, void *address, void **start, void **end);
void __asan_unpoison_memory_region(const volatile void *address, size_t size);
void __lsan_register_root_region(const void *address, size_t size);
void __lsan_unregister_root_region(const void *address, size_t size);

typedef struct {
    char *start;
    size_t size;
} range;

// The sanitizer has the variables of most functions beside each stack, on what it calls a fake stack, so as to find uses after return. A line's
// fake stack leaves and comes back with it.
//
// At any moment the leak detector sees everything that a line of execution refers to: it looks at the stack on which a thread is and at its fake
// stack, and at our roots. They are complete before the line is left, and stay until it is on its stack again.
struct csp_fiber {
    // The stack that it runs on, without the guard.
    char *bottom;
    char *top;
    // While it is left:
    void *fake_stack;
    char *sp;
    // The stack from sp on, and the frames on the fake stack.
    range *roots;
    size_t root_count;
    size_t root_capacity;
    // That of a line which has ended and switched to this one.
    void *ended_fake_stack;
};

CSP_UNINSTRUMENTED csp_fiber *csp_fiber_create(void) {
    csp_fiber *fiber = calloc(1, sizeof *fiber);
    if (!fiber) abort();
    return fiber;
}

CSP_UNINSTRUMENTED void csp_fiber_place(csp_fiber *fiber, void *bottom, size_t size) {
    fiber->bottom = bottom;
    fiber->top = fiber->bottom + size;
}

CSP_UNINSTRUMENTED csp_fiber *csp_fiber_of_thread(void) {
    csp_fiber *fiber = csp_fiber_create();
    // The bounds of a stack are told to whoever has left it: there and back.
    const void *bottom, *here = __builtin_frame_address(0);
    size_t size;
    void *fake_stack;
    __sanitizer_start_switch_fiber(&fake_stack, here, 1);
    __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
    __sanitizer_start_switch_fiber(&fake_stack, bottom, size);
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
    csp_fiber_place(fiber, (void *)bottom, size);
    return fiber;
}

CSP_UNINSTRUMENTED void csp_fiber_destroy(csp_fiber *fiber, bool is_thread) {
    // The frames that never returned.
    if (!is_thread) __asan_unpoison_memory_region(fiber->sp, (size_t)(fiber->top - fiber->sp));
    free(fiber->roots);
    free(fiber);
}

CSP_UNINSTRUMENTED static void add_root(csp_fiber *fiber, void *start, void *end) {
    // What lies in a frame often refers to it more than once.
    if (fiber->root_count > 0 && fiber->roots[fiber->root_count - 1].start == start) return;
    if (fiber->root_count == fiber->root_capacity) {
        fiber->root_capacity = fiber->root_capacity ? 2 * fiber->root_capacity : 8;
        fiber->roots = realloc(fiber->roots, fiber->root_capacity * sizeof *fiber->roots);
        if (!fiber->roots) abort();
    }
    range root = {start, (size_t)((char *)end - (char *)start)};
    fiber->roots[fiber->root_count++] = root;
    __lsan_register_root_region(root.start, root.size);
}

// Each function that has a frame on the fake stack keeps its address on the real one, as collectors of garbage rely on, or in a register, which the
// caller has saved: so all is above this function's frame.
CSP_UNINSTRUMENTED static void add_roots(csp_fiber *fiber) {
    add_root(fiber, fiber->sp, fiber->top);
    void *fake_stack = __asan_get_current_fake_stack(), *start, *end;
    if (!fake_stack) return;
    for (void **word = __builtin_frame_address(0); word < (void **)fiber->top; word++) {
        if (__asan_addr_is_in_fake_stack(fake_stack, *word, &start, &end)) add_root(fiber, start, end);
    }
}

CSP_UNINSTRUMENTED void csp_fiber_switch(csp_fiber *from, csp_fiber *to, bool is_last) {
    // Saves the registers that belong to the callers. They themselves save what they need beyond the switch, above this frame.
    __builtin_unwind_init();
    from->sp = (char *)__builtin_frame_address(0) + 2 * sizeof(void *);
    if (!is_last) add_roots(from);
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, (size_t)(to->top - to->bottom));
    // Not destroyed yet: the caller's variables may be there.
    if (is_last) to->ended_fake_stack = from->fake_stack;
}

CSP_UNINSTRUMENTED void csp_fiber_arrive(csp_fiber *fiber) {
    if (fiber->ended_fake_stack) {
        // It is destroyed when it is left for good.
        __sanitizer_finish_switch_fiber(fiber->ended_fake_stack, NULL, NULL);
        __sanitizer_start_switch_fiber(NULL, fiber->bottom, (size_t)(fiber->top - fiber->bottom));
        fiber->ended_fake_stack = NULL;
    }
    __sanitizer_finish_switch_fiber(fiber->fake_stack, NULL, NULL);
    while (fiber->root_count > 0) {
        range root = fiber->roots[--fiber->root_count];
        __lsan_unregister_root_region(root.start, root.size);
    }
}

void csp_keep_reachable(const void *address, size_t size) { __lsan_register_root_region(address, size); }

#else

// Never called, or needless.
void csp_fiber_place(csp_fiber *fiber, void *bottom, size_t size) { (void)fiber, (void)bottom, (void)size; }
CSP_UNINSTRUMENTED void csp_fiber_arrive(csp_fiber *fiber) { (void)fiber; }
void csp_keep_reachable(const void *address, size_t size) { (void)address, (void)size; }

#if !CSP_TSAN

csp_fiber *csp_fiber_create(void) { return NULL; }
csp_fiber *csp_fiber_of_thread(void) { return NULL; }
void csp_fiber_destroy(csp_fiber *fiber, bool is_thread) { (void)fiber, (void)is_thread; }
void csp_fiber_switch(csp_fiber *from, csp_fiber *to, bool is_last) { (void)from, (void)to, (void)is_last; }

#endif
#endif
