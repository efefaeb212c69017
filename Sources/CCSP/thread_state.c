#define _GNU_SOURCE
// Finds the words of thread-local memory in which Swift's and C++'s runtimes keep what belongs to a goroutine and not to
// its thread. The layouts are private to those libraries, so they are probed, never assumed: change the state through
// the public entry points, see which word of the library's TLS block changed, and change it back.
#include "ccsp.h"

#include <link.h>
#include <malloc.h>
#include <string.h>

// The TLS block that holds a library's thread locals, on this thread.
typedef struct {
    const void *inside;   // in: an address in the library
    uint64_t *block;      // out
    size_t words;
} tls_query;

static int find_block(struct dl_phdr_info *info, size_t size, void *opaque) {
    (void)size;
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

size_t csp_tls_block(const void *inside, uint64_t **block) {
    tls_query query = {inside, NULL, 0};
    if (!dl_iterate_phdr(find_block, &query) || !query.block) return 0;
    *block = query.block;
    return query.words;
}

enum { MOST_WORDS = 512 };

// swift_beginAccess(pointer, buffer[3 words], flags, pc) pushes `buffer` onto the thread's access set when the flags ask
// for tracking (modify = 1, tracking = 0x20); swift_endAccess(buffer) removes it.
extern void swift_beginAccess(void *pointer, void *buffer, uintptr_t flags, void *pc);
extern void swift_endAccess(void *buffer);

const void *csp_in_swift_core(void) { return (const void *)swift_beginAccess; }

int64_t csp_probe_access_set(void) {
    uint64_t *block;
    size_t words = csp_tls_block(csp_in_swift_core(), &block);
    if (words == 0 || words > MOST_WORDS) return -1;
    uint64_t before[MOST_WORDS];
    void *buffer[4] = {0};
    uint64_t probed = 0;
    memcpy(before, block, words * sizeof *block);
    swift_beginAccess(&probed, buffer, 0x21, (void *)csp_probe_access_set);
    int64_t found = -1, changed = 0;
    for (size_t i = 0; i < words; i++) {
        if (block[i] == before[i]) continue;
        changed++;
        if (block[i] == (uint64_t)(uintptr_t)buffer) found = (int64_t)i;
    }
    swift_endAccess(buffer);
    return changed == 1 && found >= 0 && block[found] == before[found] ? found : -1;
}

extern void *swift_task_getCurrent(void);
const void *csp_in_swift_concurrency(void) { return (const void *)swift_task_getCurrent; }

// The ABI names the accessor (https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html#cxx-globals); its result begins with the
// list of caught exceptions and the count of uncaught ones.
extern void *__cxa_get_globals(void) __attribute__((weak));
uint64_t *csp_cxa_globals(void) { return __cxa_get_globals ? __cxa_get_globals() : NULL; }

size_t csp_usable_size(void *memory) { return malloc_usable_size(memory); }
