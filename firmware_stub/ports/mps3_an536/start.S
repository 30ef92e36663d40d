/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * start.S - reset of a Cortex-R52: the first core goes from Hyp mode, where it starts, to
 * Supervisor mode, and runs the firmware; the other one sleeps.
 */
#define MODE_IRQ   0x12
#define MODE_SVC   0x13
#define MODE_HYP   0x1a
#define MODE_MASK  0x1f
#define MASKED     0xc0 /* IRQ and FIQ */
#define IRQ_STACK  0x1000

	.syntax unified
	.arm
	.section .text.start, "ax"
	.align 5
vectors:
	b	_start
	b	fallen	/* undefined instruction */
	b	fallen	/* SVC */
	b	fallen	/* prefetch abort */
	b	fallen	/* data abort */
	b	fallen
	ldr	pc, =irq
	b	fallen	/* FIQ: every interrupt is of group 1 */
fallen:	ldr	sp, =stack_top
	b	fault

	.globl _start
_start:
	cpsid	if
	mrc	p15, 0, r0, c0, c0, 5		/* MPIDR */
	tst	r0, #0xff
	bne	park
	mrs	r0, cpsr
	and	r0, r0, #MODE_MASK
	cmp	r0, #MODE_HYP
	bne	1f
	mov	r0, #9				/* the GIC's system registers, there and below */
	mcr	p15, 4, r0, c12, c9, 5		/* ICC_HSRE */
	mov	r0, #3				/* the counter, below */
	mcr	p15, 4, r0, c14, c1, 0		/* CNTHCTL */
	ldr	r0, =1f
	msr	elr_hyp, r0
	mov	r0, #(MASKED | MODE_SVC)
	msr	spsr_hyp, r0
	eret
1:	ldr	r0, =vectors
	mcr	p15, 0, r0, c12, c0, 0		/* VBAR */
	isb
	ldr	r0, =stack_top
	msr	cpsr_c, #(MASKED | MODE_IRQ)
	mov	sp, r0
	msr	cpsr_c, #(MASKED | MODE_SVC)
	sub	sp, r0, #IRQ_STACK
	ldr	r0, =bss_start
	ldr	r1, =bss_end
	mov	r2, #0
2:	cmp	r0, r1
	strlo	r2, [r0], #4
	blo	2b
	mov	r0, #1				/* START brings the epoch */
	b	firmware_main
park:	wfi
	b	park
