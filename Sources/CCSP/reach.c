#define _GNU_SOURCE
// Which parked goroutines can be reached from anything that runs: see Diagnostics/Leaks.swift for the argument. This runs in a copy of the process
// in which it is the only thread; the locks of malloc and of everybody else are as they were, perhaps held for ever.
//
// It is the marking half of a conservative garbage collector. Whatever is not known to be dead is looked at, and whatever looks like an address is one.
#include "reach.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ABSENT, PARKED, ALIVE };

static void *allocate(size_t size) {
    void *memory = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) _exit(1);
    return memory;
}

void csp_add_hole(reach_t *reach, uintptr_t low, uintptr_t high) {
    if (reach->hole_count == reach->hole_capacity) _exit(1);
    if (low < high) reach->holes[reach->hole_count++] = (csp_range){low, high};
}

// MARK: Marking

static void push(reach_t *reach, uintptr_t low, uintptr_t high, bool is_left) {
    reach->work[reach->work_count++] = (work_t){{low, high}, is_left};
}

static bool mark_chunk(reach_t *reach, heap_t *heap, uintptr_t chunk) {
    size_t bit = heap->first_bit + (chunk - heap->low) / 16;
    if (reach->marks[bit / 64] >> bit % 64 & 1) return false;
    reach->marks[bit / 64] |= (uint64_t)1 << bit % 64;
    return true;
}

static void reach_chunk(reach_t *reach, heap_t *heap, uintptr_t chunk) {
    if (csp_is_free(heap, chunk) || !mark_chunk(reach, heap, chunk) || csp_is_cache_of_free(heap, chunk)) return;
    uintptr_t end = chunk + csp_chunk_size(chunk) + 8;
    push(reach, chunk + 16, end < heap->high ? end : heap->high, false);
}

static void reach_heap(reach_t *reach, heap_t *heap, uintptr_t address) {
    size_t place = (address - heap->low) / 16;
    uintptr_t chunk = csp_chunk_at(reach, heap, place);
    if (address - chunk >= 16) return reach_chunk(reach, heap, chunk);
    // Where only malloc has something, it is the end of the memory before.
    if (place > 0) reach_chunk(reach, heap, csp_chunk_at(reach, heap, place - 1));
}

// The index of the control block that the address lies in, or goroutine_count.
static size_t goroutine_at(reach_t *reach, uintptr_t address) {
    size_t low = 0, high = reach->search->block_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (reach->search->blocks[middle].high <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == reach->search->block_count || address < reach->search->blocks[low].low) return reach->goroutine_count;
    return low * reach->per_block + (address - reach->search->blocks[low].low) / reach->search->block_stride;
}

static void *block_at(reach_t *reach, size_t index) {
    csp_range block = reach->search->blocks[index / reach->per_block];
    return (void *)(block.low + index % reach->per_block * reach->search->block_stride);
}

static csp_goroutine_facts facts_of(reach_t *reach, size_t index) {
    csp_goroutine_facts facts = {0};
    reach->search->describe(block_at(reach, index), &facts);
    return facts;
}

static uintptr_t below(uintptr_t sp) { return (sp & ~(uintptr_t)7) - 128; }

// A goroutine that runs, can run, or can be made to: its stack from `sp` on, all of it if that is 0, and its control block.
static void revive(reach_t *reach, size_t index, csp_goroutine_facts *facts, uintptr_t sp) {
    if (reach->states[index] == ALIVE) return;
    reach->states[index] = ALIVE;
    for (int i = 0; i < 2; i++) {
        if (facts->block_size[i]) push(reach, facts->block[i], facts->block[i] + facts->block_size[i], false);
    }
    if (facts->stack_high == 0) return;
    // All of it if the context is still of another stack, since it was given this one just now.
    bool is_here = sp >= facts->stack_low + 128 && sp <= facts->stack_high;
    push(reach, is_here ? below(sp) : facts->stack_low, facts->stack_high, sp != 0 && sp == facts->sp);
}

// Who has an address in a goroutine's control block, or in the part of its stack that is in use, may wake it, or see what it sees.
static void reach_goroutine(reach_t *reach, size_t index, uintptr_t on_stack) {
    if (index >= reach->goroutine_count || reach->states[index] != PARKED) return;
    csp_goroutine_facts facts = facts_of(reach, index);
    if (on_stack && (on_stack < below(facts.sp) || on_stack < facts.stack_low || on_stack >= facts.stack_high)) return;
    revive(reach, index, &facts, facts.sp);
}

// Swift keeps flags in bits that no address has.
#define ADDRESS_BITS 0xFFFFFFFFFFFFu

// `is_left`: on the stack of a goroutine that is not on a thread. There what leads into another one's control block is only what the switch has left, which went on
// with that one, unless it leads to its waiter: a neighbour in a wait list. Whoever makes others ready does not leave his stack between taking them off a list and that.
static void consider(reach_t *reach, uintptr_t value, bool is_left) {
    uintptr_t address = value & ADDRESS_BITS, bottom;
    if (address < PAGE) return;
    heap_t *heap = csp_heap_of(reach, address);
    if (heap) return reach_heap(reach, heap, address);
    if (reach->search->block_count == 0) return;
    size_t size, index = goroutine_at(reach, address);
    if (index < reach->goroutine_count) {
        if (!is_left || facts_of(reach, index).waiter == address) reach_goroutine(reach, index, 0);
        return;
    }
    void *owner = csp_slot_at(address, &bottom, &size);
    if (owner) reach_goroutine(reach, goroutine_at(reach, (uintptr_t)owner), address);
}

static void look_at(reach_t *reach, const uintptr_t *words, size_t count, bool is_left) {
    for (size_t i = 0; i < count; i++) consider(reach, words[i], is_left);
}

static void finish_work(reach_t *reach) {
    while (reach->work_count) {
        work_t work = reach->work[--reach->work_count];
        look_at(reach, (const uintptr_t *)work.range.low, (work.range.high - work.range.low) / sizeof(uintptr_t), work.is_left);
    }
}

// MARK: Roots

// By the file, which says no where an access would be a fault.
static void look_at_memory(reach_t *reach, uintptr_t low, uintptr_t high) {
    while (low < high) {
        size_t wanted = high - low < BUFFER ? high - low : BUFFER;
        ssize_t length = pread(reach->memory, reach->buffer, wanted, (off_t)low);
        if (length <= 0) {
            low = (low | (PAGE - 1)) + 1;
            continue;
        }
        look_at(reach, reach->buffer, (size_t)length / sizeof(uintptr_t), false);
        finish_work(reach);
        low += (size_t)length;
    }
}

// Only the pages that there are.
static void look_at_pages(reach_t *reach, uintptr_t low, uintptr_t high) {
    uint64_t entries[512];
    // Those from here on are there, and have not been looked at.
    uintptr_t start = low;
    for (uintptr_t page = low / PAGE * PAGE; page < high;) {
        size_t left = (high - 1 - page) / PAGE + 1, count = left < 512 ? left : 512;
        if (pread(reach->pages, entries, count * 8, (off_t)(page / PAGE * 8)) != (ssize_t)(count * 8)) break;
        for (size_t i = 0; i < count; i++, page += PAGE) {
            // Present, or swapped out.
            if (entries[i] >> 62) continue;
            if (start < page) look_at_memory(reach, start, page);
            start = page + PAGE;
        }
    }
    if (start < high) look_at_memory(reach, start, high);
}

// Shell's sort: qsort may allocate.
static void sort(csp_range *ranges, size_t count) {
    for (size_t gap = count / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < count; i++) {
            csp_range one = ranges[i];
            size_t place = i;
            for (; place >= gap && ranges[place - gap].low > one.low; place -= gap) ranges[place] = ranges[place - gap];
            ranges[place] = one;
        }
    }
}

static void look_at_regions(reach_t *reach) {
    size_t hole = 0;
    for (size_t i = 0; i < reach->region_count; i++) {
        uintptr_t low = reach->regions[i].range.low, high = reach->regions[i].range.high;
        while (hole < reach->hole_count && reach->holes[hole].high <= low) hole++;
        for (size_t each = hole; low < high; each++) {
            bool is_last = each == reach->hole_count || reach->holes[each].low >= high;
            uintptr_t end = is_last ? high : reach->holes[each].low;
            if (low < end) (reach->regions[i].is_private ? look_at_pages : look_at_memory)(reach, low, end);
            if (is_last) break;
            if (reach->holes[each].high > low) low = reach->holes[each].high;
        }
    }
}

// MARK: The map of the memory

typedef struct {
    csp_range range;
    char permissions[4];
    bool is_file, is_heap, is_stack, is_hidden;
} mapping_t;

static uintptr_t number(const char **place, unsigned base) {
    uintptr_t value = 0;
    for (;; (*place)++) {
        char c = **place;
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;
        if (digit >= base) return value;
        value = value * base + digit;
    }
}

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

// "low-high rwxp offset device inode   path"
static mapping_t parse(const char *line) {
    mapping_t mapping = {0};
    mapping.range.low = number(&line, 16);
    line++;
    mapping.range.high = number(&line, 16);
    line++;
    memcpy(mapping.permissions, line, 4);
    line += 5;
    for (int spaces = 0; spaces < 2; line++) spaces += *line == ' ';
    mapping.is_file = number(&line, 10) != 0;
    while (*line == ' ') line++;
    mapping.is_heap = begins(line, "[heap]");
    mapping.is_stack = begins(line, "[stack]");
    // The kernel's pages, and devices, which to read may have effects.
    mapping.is_hidden = begins(line, "[v") || (begins(line, "/dev/") && !begins(line, "/dev/shm") && !begins(line, "/dev/zero"));
    return mapping;
}

// Calls `body` for each mapping.
static void read_map(reach_t *reach, void (*body)(reach_t *, const mapping_t *)) {
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0) _exit(1);
    char *text = (char *)reach->buffer;
    size_t length = 0;
    for (;;) {
        ssize_t got = read(file, text + length, BUFFER - 1 - length);
        if (got <= 0) break;
        length += (size_t)got;
        char *line = text;
        for (char *end; (end = memchr(line, '\n', length - (size_t)(line - text))); line = end + 1) {
            *end = 0;
            mapping_t mapping = parse(line);
            body(reach, &mapping);
        }
        length -= (size_t)(line - text);
        memmove(text, line, length);
    }
    close(file);
}

static void count_mapping(reach_t *reach, const mapping_t *mapping) {
    (void)mapping;
    reach->region_capacity++;
}

static bool holds(csp_range range, uintptr_t address) { return address >= range.low && address < range.high; }

// A thread's stack below its stack pointer is nobody's, and a worker's own stack is the scheduler's. Known as a stack only if it is the runtime's, or has
// the usual size and a guard below: what another one is, nobody knows.
static void leave_out_dead(reach_t *reach, const mapping_t *mapping, bool has_guard) {
    csp_search *search = reach->search;
    csp_range range = mapping->range;
    size_t size = range.high - range.low, usual = search->usual_thread_stack;
    bool is_stack = mapping->is_stack || (has_guard && (size == usual || size + PAGE == usual));
    for (size_t i = 0; i < search->own_count && has_guard; i++) {
        if (!holds(range, search->own_threads[i].base)) continue;
        if (search->own_threads[i].worker) return csp_add_hole(reach, range.low, search->own_threads[i].base);
        is_stack = true;
    }
    for (size_t i = 0; i < search->thread_count && is_stack; i++) {
        if (holds(range, search->threads[i].sp)) csp_add_hole(reach, range.low, below(search->threads[i].sp));
    }
}

static void note_mapping(reach_t *reach, const mapping_t *mapping) {
    bool has_guard = reach->guard_end == mapping->range.low, is_readable = mapping->permissions[0] == 'r';
    bool is_writable = mapping->permissions[1] == 'w', is_private = mapping->permissions[3] == 'p' && !mapping->is_file;
    reach->guard_end = is_readable ? 0 : mapping->range.high;
    uintptr_t library = (uintptr_t)pread;
    if (library >= mapping->range.low && library < mapping->range.high) reach->library = mapping->range;
    // What a file holds and nobody has written has no addresses of ours.
    if (!is_readable || mapping->is_hidden || (mapping->is_file && !is_writable)) return;
    if (reach->region_count == reach->region_capacity) _exit(1);
    reach->regions[reach->region_count++] = (region_t){mapping->range, is_private};
    if (!is_private || !is_writable) return;
    leave_out_dead(reach, mapping, has_guard);
    if (!mapping->is_stack) csp_find_heaps(reach, mapping->range, mapping->is_heap);
}

static void leave_out_signal_stack(reach_t *reach, csp_range stack) {
    if (stack.low == 0) return;
    for (size_t i = 0; i < reach->search->thread_count; i++) {
        if (holds(stack, reach->search->threads[i].sp)) return;
    }
    csp_add_hole(reach, stack.low, stack.high);
}

static void leave_out_runtime(reach_t *reach) {
    csp_search *search = reach->search;
    csp_arena_t *arena = csp_get_arena();
    csp_add_hole(reach, search->own.low, search->own.high);
    csp_add_hole(reach, search->stack.low, search->stack.high);
    csp_add_hole(reach, arena->base, arena->base + arena->size);
    csp_add_hole(reach, (uintptr_t)arena, (uintptr_t)(arena + 1));
    for (unsigned kind = 0; kind < CSP_STACK_CLASSES; kind++) {
        size_t slots = (size_t)1 << (arena->region_shift - CSP_SMALLEST_STACK_SHIFT - kind);
        csp_add_hole(reach, (uintptr_t)arena->owners[kind], (uintptr_t)(arena->owners[kind] + slots));
    }
    for (size_t i = 0; i < search->block_count; i++) csp_add_hole(reach, search->blocks[i].low, search->blocks[i].high);
    for (size_t i = 0; i < search->own_count; i++) leave_out_signal_stack(reach, search->own_threads[i].signal_stack);
}

static void hide(reach_t *reach, csp_range memory) {
    heap_t *heap = csp_heap_of(reach, memory.low);
    if (heap)
        mark_chunk(reach, heap, csp_chunk_at(reach, heap, (memory.low - heap->low) / 16));
    else
        csp_add_hole(reach, memory.low, memory.high);
}

// MARK: The search

static void prepare(reach_t *reach) {
    csp_search *search = reach->search;
    reach->lowest_heap = UINTPTR_MAX;
    reach->buffer = allocate(BUFFER);
    reach->memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    reach->pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (reach->memory < 0) _exit(1);
    // Before anything is mapped that is to be left out; what is mapped after this second reading is not in it.
    read_map(reach, count_mapping);
    // What we have mapped by then: this, the buffer and the next two may be regions of their own.
    reach->region_capacity += 16;
    reach->regions = allocate(reach->region_capacity * sizeof(region_t));
    reach->hole_capacity = search->block_count + search->thread_count + 2 * search->own_count + MOST_HEAPS + CSP_STACK_CLASSES + search->hidden_count + 32;
    reach->holes = allocate(reach->hole_capacity * sizeof(csp_range));
    reach->heaps = allocate(MOST_HEAPS * sizeof(heap_t));
    leave_out_runtime(reach);
    csp_add_hole(reach, (uintptr_t)reach->buffer, (uintptr_t)reach->buffer + BUFFER);
    csp_add_hole(reach, (uintptr_t)reach->regions, (uintptr_t)(reach->regions + reach->region_capacity));
    csp_add_hole(reach, (uintptr_t)reach->holes, (uintptr_t)(reach->holes + reach->hole_capacity));
    csp_add_hole(reach, (uintptr_t)reach->heaps, (uintptr_t)(reach->heaps + MOST_HEAPS));
    read_map(reach, note_mapping);
    reach->starts = allocate(reach->bit_count / 8 + 8);
    reach->marks = allocate(reach->bit_count / 8 + 8);
    csp_note_chunks(reach);
    for (size_t i = 0; i < reach->region_count && reach->main_top; i++) {
        if (!reach->regions[i].is_private) csp_leave_out_main_arena(reach, reach->regions[i].range);
    }
    for (size_t i = 0; i < search->hidden_count; i++) hide(reach, search->hidden[i]);
    for (size_t i = 0; i < search->own_count; i++) {
        // In a heap, so that its size does not matter.
        if (search->own_threads[i].worker) hide(reach, (csp_range){(uintptr_t)search->own_threads[i].worker, 0});
    }
    sort(search->blocks, search->block_count);
    sort(reach->holes, reach->hole_count);
    if (search->block_count) reach->per_block = (search->blocks[0].high - search->blocks[0].low) / search->block_stride;
    reach->goroutine_count = search->block_count * reach->per_block;
    reach->states = allocate(reach->goroutine_count);
    reach->work = allocate((reach->chunk_count + reach->goroutine_count * 3 + search->root_count + 16) * sizeof(work_t));
}

// Whether the thread is a worker's and on the worker's own stack, where no user's code runs.
static bool is_scheduling(csp_search *search, csp_stopped_thread *stopped) {
    for (size_t i = 0; i < search->own_count; i++) {
        csp_own_thread *own = &search->own_threads[i];
        if (own->thread == stopped->thread) return own->worker && stopped->sp < own->base && own->base - stopped->sp < 256 << 10;
    }
    return false;
}

// How many words of its registers somebody may still use. Not the vector ones of a thread that the C library has taken into the kernel: x86-64's callers
// keep nothing there over a call (AArch64's do), and they are full of what was copied last.
static size_t live_words(reach_t *reach, csp_stopped_thread *stopped) {
    bool is_called = stopped->is_in_system_call && stopped->pc >= reach->library.low && stopped->pc < reach->library.high;
    return is_called ? stopped->general_words : stopped->register_words;
}

static void sort_goroutines(reach_t *reach) {
    csp_search *search = reach->search;
    for (size_t i = 0; i < reach->goroutine_count; i++) {
        csp_goroutine_facts facts = facts_of(reach, i);
        reach->states[i] = facts.state == CSP_GOROUTINE_ABSENT ? ABSENT : PARKED;
    }
    // On some thread, whatever it says of itself: it may be about to leave its stack, or just have come.
    for (size_t i = 0; i < search->thread_count; i++) {
        uintptr_t bottom, sp = search->threads[i].sp;
        size_t size;
        void *owner = csp_slot_at(sp, &bottom, &size);
        size_t index = owner ? goroutine_at(reach, (uintptr_t)owner) : reach->goroutine_count;
        if (index == reach->goroutine_count) continue;
        csp_goroutine_facts facts = facts_of(reach, index);
        facts.stack_low = bottom + CSP_GUARD_SIZE;
        facts.stack_high = bottom + size;
        revive(reach, index, &facts, sp);
    }
    for (size_t i = 0; i < reach->goroutine_count; i++) {
        if (reach->states[i] != PARKED) continue;
        csp_goroutine_facts facts = facts_of(reach, i);
        if (facts.state == CSP_GOROUTINE_LIVES) revive(reach, i, &facts, facts.sp);
    }
}

void csp_search_memory(csp_search *search) {
    reach_t reach = {.search = search};
    prepare(&reach);
    sort_goroutines(&reach);
    finish_work(&reach);
    for (size_t i = 0; i < search->root_count; i++) push(&reach, search->roots[i].low, search->roots[i].high, false);
    finish_work(&reach);
    for (size_t i = 0; i < search->thread_count; i++) {
        csp_stopped_thread *stopped = &search->threads[i];
        if (is_scheduling(search, stopped)) continue;
        look_at(&reach, stopped->registers, live_words(&reach, stopped), false);
        consider(&reach, stopped->sp, false);
        finish_work(&reach);
    }
    look_at_regions(&reach);
    for (size_t i = 0; i < reach.goroutine_count; i++) {
        if (reach.states[i] == PARKED) search->found[search->found_count++] = block_at(&reach, i);
    }
    search->outcome = CSP_SEARCH_DONE;
}
