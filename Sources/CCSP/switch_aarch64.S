#if defined(__aarch64__)
// The stack switch for AArch64 (AAPCS64). Entered by `b` from the inline assembly in ccsp.h, never called:
//
//   x0  the context to save into         csp_context:  +0  sp   stack pointer
//   x1  the context to continue at                     +8  fp   x29, head of the frame chain
//   x9  the address to resume at                       +16 pc   where to continue
//                                                      +24 FPCR
//
// Nothing is pushed on either stack; a suspended goroutine's stack looks as in switch_x86_64.S. Callee-saved registers
// (x19-x28, d8-d15) need no code here: the inline assembly names them as clobbers. The file carries no BTI or GCS
// property, so the linker marks no program that contains it as able to use guarded control stacks.

    .text
    .macro SWITCH name
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 4
\name:
    .cfi_startproc
    .cfi_def_cfa x29, 16
    .cfi_offset x29, -16
    .cfi_offset x30, -8
    mov x10, sp
    stp x10, x29, [x0]
    mrs x11, fpcr
    stp x9, x11, [x0, #16]
    ldp x9, x12, [x1, #16]
    cmp x11, x12
    b.ne 2f
1:  ldp x10, x29, [x1]
    mov sp, x10
    br x9
2:  msr fpcr, x12
    b 1b
    .cfi_endproc
    .size \name, . - \name
    .endm

    SWITCH csp_switch_enter
    SWITCH csp_switch_leave

    // First instruction of every goroutine, with sp at its stack's top: the outermost frame.
    .globl csp_goroutine_entry
    .hidden csp_goroutine_entry
    .type csp_goroutine_entry, %function
    .p2align 4
csp_goroutine_entry:
    .cfi_startproc
    .cfi_undefined x30
    mov x29, xzr
    mov x30, xzr
    adrp x9, :got:csp_goroutine_main
    ldr x9, [x9, :got_lo12:csp_goroutine_main]
    ldr x9, [x9]
    blr x9
    brk #1
    .cfi_endproc
    .size csp_goroutine_entry, . - csp_goroutine_entry

    // Calls x1 with the argument x2 and x0 for a frame pointer: see stack_walk.c. For unwind tables the outermost frame.
    .globl csp_call_above
    .hidden csp_call_above
    .type csp_call_above, %function
    .p2align 4
csp_call_above:
    .cfi_startproc
    .cfi_undefined x30
    stp x29, x30, [sp, #-16]!
    mov x29, x0
    mov x0, x2
    blr x1
    ldp x29, x30, [sp], #16
    ret
    .cfi_endproc
    .size csp_call_above, . - csp_call_above

#endif

// Also where this file is empty: one object without the note makes the whole program's stack executable.
    .section .note.GNU-stack, "", %progbits
