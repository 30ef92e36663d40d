/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_memory.h - the pages of a guest's memory that its VMM has never touched.
 *
 * The kernel counts a page of shared memory for the process that touches it first, and
 * against the limit of that process' control group, for as long as the file exists. A guest
 * whose answers go to ever new pages would so have the service killed. userfaultfd(2)
 * therefore raises SIGBUS where a page is missing, and only a few are filled.
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An honest driver has written to its memory before it shows it to a device; but a boot loader may
 * not have written to a buffer for an answer, and nobody to the log of a guest that connects. */
#define GUEST_MEMORY_PAGES_MAX 4096
#define GUEST_MEMORY_PAGE_NS   (10 * UINT64_C(1000000000)) /* until one more may be filled */

struct guest_memory {
	int faults;     /* -1: nothing is watched */
	uint32_t pages; /* that may be filled, whatever guest comes */
	uint64_t as_of; /* gb_now_ns() */
	volatile sig_atomic_t spent;
};

void guest_memory_init(struct guest_memory *memory);
/* A mapping of the guest's. Without userfaultfd(2) in the kernel, pages are filled uncounted. */
void guest_memory_watch(struct guest_memory *memory, void *base, size_t length);
/* For the handler of SIGBUS: whether the page was only missing, and is there now. `spent` says
 * that it was not filled because there have been too many. */
bool guest_memory_fill(struct guest_memory *memory, const void *addr);
/* The guest is gone; what was filled for it still counts. */
void guest_memory_end(struct guest_memory *memory);

#endif
