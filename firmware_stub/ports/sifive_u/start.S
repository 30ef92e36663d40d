/* SPDX-License-Identifier: BSD-3-Clause */
/* start.S - reset of the firmware: hart 0 runs, the others sleep. a0: the seed. */
	.section .text.start
	.globl _start
_start:
	csrw	mie, zero
	csrr	t0, mhartid
	bnez	t0, park
	la	sp, stack_top
	la	t0, trap
	csrw	mtvec, t0
	la	t0, bss_start
	la	t1, bss_end
1:	bgeu	t0, t1, 2f
	sd	zero, 0(t0)
	addi	t0, t0, 8
	j	1b
2:	call	firmware_main
park:	wfi
	j	park
