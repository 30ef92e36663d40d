/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.S - the boot ROM for firmware that is in Linux's memory already: jumps to its entry,
 * with the seed in a0. Who starts the machine leaves both at BOOT_WORDS, 64 bits each.
 */
#define BOOT_WORDS 0x080ff000

	.section .text.start
	.globl _start
_start:
	csrw	mie, zero
	csrr	t0, mhartid
	bnez	t0, park
	li	t0, BOOT_WORDS
	ld	t1, 0(t0)
	ld	a0, 8(t0)
	fence	rw, rw
	fence.i
	jr	t1
park:	wfi
	j	park
