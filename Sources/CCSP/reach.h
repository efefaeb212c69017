// What a search of the copy's memory knows: reach.c goes from address to address, heaps.c knows malloc's heaps.
#ifndef CSP_REACH_H
#define CSP_REACH_H

#include "search.h"

typedef struct {
    /// Of the chunks, without what lies before the first.
    uintptr_t low, high;
    /// Its first bit in the bitmaps, which have one for each 16 bytes.
    size_t first_bit;
    /// The last chunk, which malloc has not given to anybody yet; `high` where there is none.
    uintptr_t top;
} heap_t;

typedef struct {
    csp_range range;
    /// Whether a page that is not there yet has never been written.
    bool is_private;
} region_t;

enum { MOST_HEAPS = 4096, HEAP_ALIGNMENT = 64 << 20 };

/// Memory that is still to be looked at.
typedef struct {
    csp_range range;
    /// Whether it is the stack of a goroutine that is not on a thread.
    bool is_left;
} work_t;

typedef struct {
    csp_search *search;
    // Memory that is looked at, and what is left out of it.
    region_t *regions;
    size_t region_count, region_capacity;
    /// The C library's code.
    csp_range library;
    /// Of the mapping before: where it ends, if it cannot be read.
    uintptr_t guard_end;
    csp_range *holes;
    size_t hole_count, hole_capacity;
    heap_t *heaps;
    size_t heap_count, chunk_count, bit_count;
    uintptr_t lowest_heap, highest_heap, main_top;
    uint64_t *starts, *marks;
    /// By index: the control blocks of blocks[i] begin at i * per_block.
    uint8_t *states;
    size_t goroutine_count, per_block;
    work_t *work;
    size_t work_count;
    int memory, pages;
    uintptr_t *buffer;
} reach_t;

enum { BUFFER = 64 << 10, PAGE = 4096 };

static inline uintptr_t csp_word(uintptr_t address) { return *(const uintptr_t *)address; }

/// Leaves memory out.
void csp_add_hole(reach_t *reach, uintptr_t low, uintptr_t high);

/// Finds heaps in a region, that of the program or those of threads' arenas: they are left out, and looked at chunk by chunk.
void csp_find_heaps(reach_t *reach, csp_range region, bool is_main);
/// Once all are found, and the bitmaps are there.
void csp_note_chunks(reach_t *reach);
/// Leaves out malloc's own knowledge of the main heap, if it is in the region.
void csp_leave_out_main_arena(reach_t *reach, csp_range region);
/// The heap that the address lies in, or NULL.
heap_t *csp_heap_of(reach_t *reach, uintptr_t address);
/// The chunk of which the 16 bytes of that number are a part; those that the heap begins with are number 0.
uintptr_t csp_chunk_at(reach_t *reach, heap_t *heap, size_t place);
size_t csp_chunk_size(uintptr_t chunk);
/// Whether it is nobody's. False when it is not known.
bool csp_is_free(heap_t *heap, uintptr_t chunk);
/// Whether it is malloc's list of free chunks for some thread.
bool csp_is_cache_of_free(heap_t *heap, uintptr_t chunk);

#endif
