#define _GNU_SOURCE
// Finds the words of thread-local memory in which Swift's and C++'s runtimes keep what belongs to a goroutine and not to
// its thread. The layouts are private to those libraries, so they are probed, never assumed: change the state through
// the public entry points, see which word of the library's TLS block changed, and change it back.
#include "ccsp.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <string.h>

// The TLS block that holds a library's thread locals, on this thread.
typedef struct {
    const void *inside;   // in: an address in the library
    uint64_t *block;      // out
    size_t words;
} tls_query;

static int find_block(struct dl_phdr_info *info, size_t size, void *opaque) {
    tls_query *query = opaque;
    uintptr_t address = (uintptr_t)query->inside;
    bool inside = false;
    size_t tls_size = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && address >= start && address < start + header->p_memsz) inside = true;
        if (header->p_type == PT_TLS) tls_size = header->p_memsz;
    }
    if (!inside) return 0;
    query->block = info->dlpi_tls_data;
    query->words = tls_size / sizeof(uint64_t);
    return 1;
}

static bool tls_block(const void *inside, uint64_t **block, size_t *words) {
    tls_query query = {inside, NULL, 0};
    if (!dl_iterate_phdr(find_block, &query) || !query.block) return false;
    *block = query.block;
    *words = query.words;
    return true;
}

enum { MOST_WORDS = 512 };

// swift_beginAccess(pointer, buffer[3 words], flags, pc) pushes `buffer` onto the thread's access set when the flags ask
// for tracking (modify = 1, tracking = 0x20); swift_endAccess(buffer) removes it.
extern void swift_beginAccess(void *pointer, void *buffer, uintptr_t flags, void *pc);
extern void swift_endAccess(void *buffer);

static bool probe_access_set(int *offset) {
    uint64_t *block;
    size_t words;
    if (!tls_block((const void *)swift_beginAccess, &block, &words) || words > MOST_WORDS) return false;
    uint64_t before[MOST_WORDS];
    void *buffer[4] = {0};
    uint64_t probed = 0;
    memcpy(before, block, words * sizeof *block);
    swift_beginAccess(&probed, buffer, 0x21, (void *)probe_access_set);
    int found = -1, changed = 0;
    for (size_t i = 0; i < words; i++) {
        if (block[i] != before[i]) {
            changed++;
            if (block[i] == (uint64_t)(uintptr_t)buffer) found = (int)i;
        }
    }
    swift_endAccess(buffer);
    if (changed != 1 || found < 0 || block[found] != before[found]) return false;
    *offset = found;
    return true;
}

// C++'s exceptions in flight: the ABI names the accessor (https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html#cxx-globals).
extern void *__cxa_get_globals(void) __attribute__((weak));

// swift_task_enterThreadLocalContext(state[3]) of libswiftCore swaps in an empty access set; it does not tell about tasks. The
// concurrency library is optional: a program without it has no task state.
typedef struct {
    int words[CSP_STATE_WORDS];
    int count;
    const void *inside;
} layout_t;

static pthread_once_t probed = PTHREAD_ONCE_INIT;
static int access_offset = -1;
static const void *concurrency;
static size_t concurrency_words;

static void probe(void) {
    if (!probe_access_set(&access_offset)) access_offset = -1;
    concurrency = dlsym(RTLD_DEFAULT, "swift_task_getCurrent");
    uint64_t *block;
    // All of the library's words travel, whatever they are, when there are no more than there is room for: the fallback
    // task-locals, the current task, its executor tracking, and the thread's priority hint.
    if (concurrency && !tls_block(concurrency, &block, &concurrency_words)) concurrency_words = 0;
}

bool csp_find_thread_state(uint64_t *words[CSP_STATE_WORDS], uint64_t *spare) {
    pthread_once(&probed, probe);
    for (int i = 0; i < CSP_STATE_WORDS; i++) words[i] = spare;
    uint64_t *block;
    size_t size;
    if (access_offset < 0 || !tls_block((const void *)swift_beginAccess, &block, &size)) return false;
    words[0] = &block[access_offset];
    if (__cxa_get_globals) words[1] = __cxa_get_globals();
    if (concurrency && concurrency_words && tls_block(concurrency, &block, &size)) {
        size_t count = size < 4 ? size : 4;
        for (size_t i = 0; i < count; i++) words[2 + i] = &block[i];
    }
    return true;
}
