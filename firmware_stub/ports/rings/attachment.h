/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attachment.h - where the rings are, and since when. One of two files tells: by_mailbox.c,
 * from messages of a back-end; by_table.c, from a resource table that remoteproc completes.
 */
#ifndef ATTACHMENT_H
#define ATTACHMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "remote_rings.h"

enum attachment {
	ATTACHMENT_AS_BEFORE,
	ATTACHMENT_GONE, /* the rings must not be touched any more */
	ATTACHMENT_NEW,  /* `remote` is set, and `epoch`, to the same in each life of ours */
};

/* The machine is up; `seed` as for firmware_main(). */
void attachment_init(uint32_t seed);
/* Called before the rings are looked at, each time. */
enum attachment attachment_poll(struct remote_rings *remote, uint32_t *epoch);
/* The rings make no sense, and are left alone. */
void attachment_broken(void);

#endif
