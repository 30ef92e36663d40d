/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liveness.h - how the helper that plugged a device in (bridge/plug/main.c) learns that somebody
 * serves it: as long as the kernel asks for something, a byte every few milliseconds; otherwise
 * nothing. Used with the pump's lock held.
 */
#ifndef LIVENESS_H
#define LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

#include "pump/pump.h"

/* Of these bytes: somebody is there, and will say so again soon; or, nothing is going on. */
#define LIVENESS_HERE 'h'
#define LIVENESS_REST 'r'

struct liveness {
	struct gb_pump *pump;
	struct gb_source *source;
	struct gb_timer timer;
	int fd; /* -1: nobody is told */
	bool told;
	uint32_t quiet; /* turns of the timer without a message of the kernel */
	void (*gone)(void *owner);
	void *owner;
};

void liveness_init(struct liveness *liveness, struct gb_pump *pump, void (*gone)(void *owner),
		   void *owner);
/* `fd` is its own from here on; `gone` is called when the helper hangs up. 0 or -errno. */
int liveness_open(struct liveness *liveness, int fd);
void liveness_close(struct liveness *liveness);
/* A message of the kernel is about to be read. */
void liveness_touch(struct liveness *liveness);

#endif
