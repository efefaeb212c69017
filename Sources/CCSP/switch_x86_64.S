#if defined(__x86_64__)
// The stack switch for x86-64 System V. Entered by `jmp` from the inline assembly in ccsp.h, never called:
//
//   rdi  the context to save into        csp_context:  +0  sp   stack pointer as it was at the jmp
//   rsi  the context to continue at                    +8  fp   frame pointer, head of the frame chain
//   rax  the address to resume at                      +16 pc   where to continue
//                                                      +24 MXCSR (32 bits)   +28 x87 control word (16 bits)
//
// Nothing is pushed on either stack, so a suspended goroutine's stack looks like this:
//
//   high   slot top - colour   ┌──────────────────────────────┐
//                              │ csp_goroutine_entry          │ return address undefined: the unwinder stops here
//                              │ csp_goroutine_main's frame   │ saved fp = 0
//                              │ … the user's frames …        │
//   low    context.sp          │ the frame that called leave  │ context.fp points into it
//                              └──────────────────────────────┘
//
// Callee-saved registers need no code here: the inline assembly names them as clobbers. The jump at the end is indirect
// and not a `ret`, which the return-stack predictor would always get wrong.
// Shadow stacks: this object carries no SHSTK note, so the linker marks no program that contains it as able to use one.

    .text
    .macro SWITCH name
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 4
\name:
    .cfi_startproc
    // At entry the frame is the caller's: its CFA is found through the frame pointer chain.
    .cfi_def_cfa %rbp, 16
    .cfi_offset %rbp, -16
    .cfi_offset %rip, -8
    movq %rsp, 0(%rdi)
    movq %rbp, 8(%rdi)
    movq %rax, 16(%rdi)
    stmxcsr 24(%rdi)
    fnstcw 28(%rdi)
    // Load the controls only when they differ: loading costs more than comparing. MXCSR's low six bits are status
    // flags, which the ABI lets any call change.
    movl 24(%rsi), %ecx
    xorl 24(%rdi), %ecx
    testl $0xffc0, %ecx
    jne 2f
    movzwl 28(%rsi), %ecx
    cmpw 28(%rdi), %cx
    jne 2f
1:  movq 0(%rsi), %rsp
    movq 8(%rsi), %rbp
    jmpq *16(%rsi)
2:  ldmxcsr 24(%rsi)
    fldcw 28(%rsi)
    jmp 1b
    .cfi_endproc
    .size \name, . - \name
    .endm

    SWITCH csp_switch_enter
    SWITCH csp_switch_leave

    // First instruction of every goroutine, with rsp at its stack's top: the outermost frame.
    .globl csp_goroutine_entry
    .hidden csp_goroutine_entry
    .type csp_goroutine_entry, @function
    .p2align 4
csp_goroutine_entry:
    .cfi_startproc
    .cfi_undefined %rip
    xorl %ebp, %ebp
    movq csp_goroutine_main@GOTPCREL(%rip), %rax
    callq *(%rax)
    ud2
    .cfi_endproc
    .size csp_goroutine_entry, . - csp_goroutine_entry

    // Calls rsi with the argument rdx and rdi for a frame pointer: see stack_walk.c. For unwind tables the outermost frame.
    .globl csp_call_above
    .hidden csp_call_above
    .type csp_call_above, @function
    .p2align 4
csp_call_above:
    .cfi_startproc
    .cfi_undefined %rip
    pushq %rbp
    movq %rdi, %rbp
    movq %rdx, %rdi
    callq *%rsi
    popq %rbp
    retq
    .cfi_endproc
    .size csp_call_above, . - csp_call_above

#endif

// Also where this file is empty: one object without the note makes the whole program's stack executable.
    .section .note.GNU-stack, "", @progbits
