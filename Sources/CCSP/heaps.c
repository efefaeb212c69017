#define _GNU_SOURCE
// malloc's heaps, as the memory of the copy shows them.
//
// glibc lays its chunks one after the other: a header, whose second word is the size with three flags, and what malloc has returned, which reaches
// into the first word of the next one. If that holds from one end to the other, each chunk is looked at only when something points to it; a heap that
// is not like this, another allocator's, is looked at whole.
#include "reach.h"

#include <unistd.h>

size_t csp_chunk_size(uintptr_t chunk) { return csp_word(chunk + 8) & ~(uintptr_t)7; }

// The number of chunks, 0 if they are none; `top` receives the last one.
static size_t walk(uintptr_t low, uintptr_t high, uintptr_t *top) {
    size_t count = 0;
    for (uintptr_t chunk = low; chunk < high;) {
        size_t size = csp_chunk_size(chunk);
        count++;
        // How a heap ends that another one follows.
        if (size == 0 && high - chunk <= 16) {
            *top = high;
            return count;
        }
        if (size < 16 || size % 16 != 0 || size > high - chunk) return 0;
        *top = chunk;
        chunk += size;
    }
    return count;
}

static bool add_heap(reach_t *reach, uintptr_t low, uintptr_t high) {
    uintptr_t top;
    size_t chunks = reach->heap_count < MOST_HEAPS ? walk(low, high, &top) : 0;
    if (chunks == 0) return false;
    reach->heaps[reach->heap_count++] = (heap_t){low, high, reach->bit_count, top};
    reach->chunk_count += chunks;
    reach->bit_count += ((high - low) / 16 + 63) & ~(size_t)63;
    if (low < reach->lowest_heap) reach->lowest_heap = low;
    if (high > reach->highest_heap) reach->highest_heap = high;
    return true;
}

// A heap of a thread's arena, which begins with its arena's address, the heap before and its size; then comes the arena itself, if it is its first.
static void find_arena_heap(reach_t *reach, uintptr_t base, uintptr_t end) {
    uintptr_t header[3];
    // By the file: it may be anything, and a fault to read.
    if (end - base < PAGE || pread(reach->memory, header, sizeof header, (off_t)base) != (ssize_t)sizeof header) return;
    uintptr_t arena = header[0], previous = header[1], size = header[2];
    if (size == 0 || size % PAGE != 0 || size > HEAP_ALIGNMENT || size > end - base) return;
    bool is_first = previous == 0 && arena - base < 128;
    bool is_next = previous != 0 && previous % HEAP_ALIGNMENT == 0 && arena % HEAP_ALIGNMENT < 128;
    if (!is_first && !is_next) return;
    for (uintptr_t first = base + 32; first < base + PAGE; first += 16) {
        if (!add_heap(reach, first, base + size)) continue;
        csp_add_hole(reach, base, base + size);
        return;
    }
}

void csp_find_heaps(reach_t *reach, csp_range region, bool is_main) {
    if (is_main) {
        if (!add_heap(reach, region.low, region.high)) return;
        csp_add_hole(reach, region.low, region.high);
        reach->main_top = reach->heaps[reach->heap_count - 1].top;
        return;
    }
    uintptr_t base = (region.low + HEAP_ALIGNMENT - 1) & ~(uintptr_t)(HEAP_ALIGNMENT - 1);
    const csp_arena_t *arena = csp_get_arena();
    for (; base < region.high; base += HEAP_ALIGNMENT) {
        if (base - arena->base < arena->size) base = arena->base + arena->size;
        find_arena_heap(reach, base, region.high);
    }
}

void csp_note_chunks(reach_t *reach) {
    for (size_t i = 0; i < reach->heap_count; i++) {
        heap_t *heap = &reach->heaps[i];
        for (uintptr_t chunk = heap->low; chunk < heap->high;) {
            size_t bit = heap->first_bit + (chunk - heap->low) / 16, size = csp_chunk_size(chunk);
            reach->starts[bit / 64] |= (uint64_t)1 << bit % 64;
            if (size == 0) break;
            chunk += size;
        }
    }
}

static bool may_be_bin(reach_t *reach, uintptr_t value, uintptr_t bin) {
    return value == bin || (value >= reach->lowest_heap && value < reach->highest_heap);
}

// What malloc knows of the heap that is not a thread's: among its lists are free chunks, and those that it has given away last. It is somewhere in the
// C library's data: the address of the last chunk, one other address, and 127 bins, each with its first and last chunk, or itself when it is empty. The words
// before are shorter lists.
enum { ARENA_TOP = 12, ARENA_BINS = 14, ARENA_WORDS = ARENA_BINS + 254 };

static bool is_arena(reach_t *reach, const uintptr_t *words, uintptr_t address, uintptr_t top) {
    if (words[ARENA_TOP] != top) return false;
    for (size_t i = 0; i < 127; i++) {
        uintptr_t bin = address + (ARENA_BINS + 2 * i - 2) * sizeof(uintptr_t);
        if (!may_be_bin(reach, words[ARENA_BINS + 2 * i], bin) || !may_be_bin(reach, words[ARENA_BINS + 2 * i + 1], bin)) return false;
    }
    return true;
}

void csp_leave_out_main_arena(reach_t *reach, csp_range region) {
    for (uintptr_t low = region.low; low < region.high; low += BUFFER / 2) {
        size_t wanted = region.high - low < BUFFER ? region.high - low : BUFFER;
        ssize_t length = pread(reach->memory, reach->buffer, wanted, (off_t)low);
        for (ssize_t i = 0; i + ARENA_WORDS <= length / (ssize_t)sizeof(uintptr_t); i++) {
            uintptr_t address = low + (size_t)i * sizeof(uintptr_t);
            if (is_arena(reach, reach->buffer + i, address, reach->main_top)) {
                return csp_add_hole(reach, address, address + ARENA_WORDS * sizeof(uintptr_t));
            }
        }
    }
}

heap_t *csp_heap_of(reach_t *reach, uintptr_t address) {
    if (address < reach->lowest_heap || address >= reach->highest_heap) return NULL;
    for (size_t i = 0; i < reach->heap_count; i++) {
        if (address >= reach->heaps[i].low && address < reach->heaps[i].high) return &reach->heaps[i];
    }
    return NULL;
}

uintptr_t csp_chunk_at(reach_t *reach, heap_t *heap, size_t place) {
    size_t bit = heap->first_bit + place, index = bit / 64;
    uint64_t bits = reach->starts[index] & (~(uint64_t)0 >> (63 - bit % 64));
    while (bits == 0) bits = reach->starts[--index];
    return heap->low + (index * 64 + 63 - (size_t)__builtin_clzll(bits) - heap->first_bit) * 16;
}

// Free chunks are marked in the one behind, which also begins with the size. Both are asked: in the middle of a realloc only one may be so. Those that malloc
// keeps for the next call, of the same size, look as if they were in use.
bool csp_is_free(heap_t *heap, uintptr_t chunk) {
    if (chunk == heap->top) return true;
    size_t size = csp_chunk_size(chunk);
    uintptr_t next = chunk + size;
    if (size == 0 || next >= heap->high) return true;
    return (csp_word(next + 8) & 1) == 0 && csp_word(next) == size;
}

// glibc's list of those, a thread's: how many there are of each size, and the first ones, which nothing else points to.
bool csp_is_cache_of_free(heap_t *heap, uintptr_t chunk) {
    if (csp_chunk_size(chunk) != 0x290) return false;
    const uint16_t *counts = (const uint16_t *)(chunk + 16);
    const uintptr_t *entries = (const uintptr_t *)(chunk + 16 + 128);
    for (int i = 0; i < 64; i++) {
        if ((counts[i] == 0) != (entries[i] == 0)) return false;
        if (entries[i] % 16 != 0) return false;
        if (entries[i] >= heap->low && entries[i] < heap->high && csp_chunk_size(entries[i] - 16) != 32 + (size_t)i * 16) return false;
    }
    return true;
}
