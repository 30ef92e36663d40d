/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.S - the boot ROM for firmware that remoteproc loads: waits for MAILBOX_BOOT, entry
 * and seed (64 bits each, little-endian), then jumps with the seed in a0.
 */
	.section .text.start
	.globl _start
_start:
	csrw	mie, zero
	csrr	t0, mhartid
	bnez	t0, park
	li	s0, 0x10011000	/* UART 1 */
	li	t0, 1
	sw	t0, 8(s0)	/* transmitter on */
	sw	t0, 12(s0)	/* receiver on */
1:	call	get
	li	t0, 3		/* MAILBOX_BOOT */
	bne	a0, t0, 1b
	call	get8
	mv	s2, a0
	call	get8
	fence	rw, rw
	fence.i
	jr	s2
get:	lw	a0, 4(s0)
	bltz	a0, get
	andi	a0, a0, 0xff
	ret
get8:	mv	s3, ra
	li	s4, 0
	li	s5, 0
2:	call	get
	sll	a0, a0, s5
	or	s4, s4, a0
	addi	s5, s5, 8
	li	t0, 64
	bne	s5, t0, 2b
	mv	a0, s4
	jr	s3
park:	wfi
	j	park
