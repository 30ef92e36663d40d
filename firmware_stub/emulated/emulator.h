/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * emulator.h - a machine of QEMU's whose RAM is a part of somebody else's file, and one of
 * whose UARTs is a mailbox of bytes.
 */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct emulator_machine {
	const char *name; /* as QEMU has it */
	const char *program, *options;
	const char *package; /* Debian's */
	uint64_t ram;        /* its address */
	uint64_t size;       /* bytes; 0: any */
	bool tree;           /* writes a device tree into it at each reset */
	bool third_uart;     /* is the mailbox; else the second one. The first is the console */
};

struct emulator_files {
	const char *firmware; /* ELF */
	const char *directory; /* gets: console, qemu.log; sockets qmp and qtest */
};

/* The part of a file that is the machine's RAM. */
struct emulator_window {
	int fd;
	uint64_t offset, size;
};

struct emulator {
	pid_t pid; /* 0: off */
	int pidfd; /* readable when it has ended */
	int mailbox; /* a stream, non-blocking */
};

/* NULL where there is none of this name. */
const struct emulator_machine *emulator_find(const char *name);

/*
 * Bytes of RAM for a machine of any size, when Linux uses the first `used` bytes of the
 * file: enough for the device tree to be behind them. The file is made larger where it
 * is too small; 0 when that cannot be.
 */
uint64_t emulator_make_room(const struct emulator_machine *machine, int fd, uint64_t used);

/* Power on. 0 or -errno. QEMU ends with its parent. */
int emulator_start(struct emulator *emulator, const struct emulator_machine *machine,
		   const struct emulator_files *files, const struct emulator_window *window);
/* Power off, at once; nothing touches the memory after it returns. */
void emulator_stop(struct emulator *emulator);

/* Bytes to the firmware. False when there is no room: the firmware has as many unread. */
bool emulator_send(struct emulator *emulator, const void *bytes, size_t length);

#endif
