#define _GNU_SOURCE
// Faults: say which goroutine it was, then leave the fault to whoever would have had it without us.
#include "ccsp.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
enum { SIGNALS = sizeof signals / sizeof *signals };
static struct sigaction before[SIGNALS];
static size_t (*describe_goroutine)(void *, char *, size_t);

void csp_write_error(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(STDERR_FILENO, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        bytes += written;
        count -= (size_t)written;
    }
}

void csp_trap(void) { __builtin_trap(); }

static uintptr_t stack_pointer(const ucontext_t *context) {
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#else
    return context->uc_mcontext.sp;
#endif
}

// The goroutine on whose stack `address` lies, and that stack's lowest address.
static void *goroutine_at(uintptr_t address, uintptr_t *bottom, size_t *size) {
    uintptr_t offset = address - csp_arena.base;
    if (offset >= csp_arena.size) return NULL;
    uintptr_t kind = offset >> csp_arena.region_shift;
    uintptr_t shift = CSP_SMALLEST_STACK_SHIFT + kind;
    *size = (size_t)1 << shift;
    *bottom = address & ~(*size - 1);
    return csp_arena.owners[kind][(offset & (((uintptr_t)1 << csp_arena.region_shift) - 1)) >> shift];
}

static void put(const char *text) { csp_write_error(text, strlen(text)); }

static void put_number(size_t number) {
    char digits[24];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    csp_write_error(digits + at, sizeof digits - at);
}

static void handle(int signal, siginfo_t *info, void *opaque) {
    int saved = errno;
    uintptr_t bottom = 0;
    size_t size = 0;
    void *goroutine = goroutine_at(stack_pointer(opaque), &bottom, &size);
    if (goroutine) {
        uintptr_t fault = (uintptr_t)info->si_addr;
        if ((signal == SIGSEGV || signal == SIGBUS) && fault >= bottom && fault < bottom + CSP_GUARD_SIZE) {
            put("fatal error: goroutine stack overflow\n\nThe goroutine's stack of ");
            put_number(size);
            put(" bytes is used up: pass more to go(stackSize:), say ");
            put_number(size * 4);
            put(".\n");
        }
        char text[1024];
        csp_write_error(text, describe_goroutine(goroutine, text, sizeof text));
    }
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i] == signal) sigaction(signal, &before[i], NULL);
    }
    errno = saved;
    // A fault repeats when we return, with the handler that was there before; a signal that was sent does not.
    if (info->si_code <= 0 || signal == SIGABRT) raise(signal);
}

void csp_install_fault_handlers(size_t (*describe)(void *goroutine, char *buffer, size_t capacity)) {
    describe_goroutine = describe;
    struct sigaction action = {0};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &before[i]);
}

void csp_install_signal_stack(void) {
    size_t size = 64 << 10;
    stack_t stack = {.ss_sp = csp_immortal_memory(size), .ss_size = size};
    if (stack.ss_sp) sigaltstack(&stack, NULL);
}

// Looks `offset` up in the symbol table of the file, which is mapped: no allocation.
static bool symbol_in_file(const char *path, uintptr_t offset, char *buffer, size_t capacity) {
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

bool csp_symbol_name(const void *address, char *buffer, size_t capacity) {
    if (capacity < 2) return false;
    // The call before the return address.
    const void *call = (const char *)address - 1;
    Dl_info info;
    if (!dladdr(call, &info)) return false;
    char mangled[2048];
    uintptr_t offset = (uintptr_t)call - (uintptr_t)info.dli_fbase;
    // The main program's own name may be relative: read it from the kernel.
    extern char __executable_start[] __attribute__((weak));
    const char *path = info.dli_fbase == (void *)__executable_start ? "/proc/self/exe" : info.dli_fname;
    const ElfW(Ehdr) *header = info.dli_fbase;
    if (header->e_type == ET_EXEC) offset = (uintptr_t)call;
    if (!symbol_in_file(path, offset, mangled, sizeof mangled)) {
        if (!info.dli_sname) return false;
        strncpy(mangled, info.dli_sname, sizeof mangled - 1);
        mangled[sizeof mangled - 1] = 0;
    }
    // Demangling allocates. A trap does not happen inside malloc, in practice.
    size_t size = capacity;
    if (swift_demangle && swift_demangle(mangled, strlen(mangled), buffer, &size, 0)) {
        buffer[capacity - 1] = 0;
        return true;
    }
    strncpy(buffer, mangled, capacity - 1);
    buffer[capacity - 1] = 0;
    return true;
}
