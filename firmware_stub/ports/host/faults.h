/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * faults.h - messages lost, doubled, damaged and late, on request.
 *
 * Every message between the rings and the firmware passes here; without an active fault that
 * costs one call.
 */
#ifndef HOST_FAULTS_H
#define HOST_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stub_loop.h"
#include "rpmsg_gpio.h"

enum fault_direction {
	FAULT_RX, /* driver -> device */
	FAULT_TX, /* device -> driver */
};

/* Hands a message on. False: it cannot be taken now; offer it again later. */
typedef bool (*fault_deliver_fn)(void *context, uint32_t source, uint32_t destination,
				 const void *message, uint16_t length);

/* What happens to the next messages of one direction. */
struct fault_plan {
	unsigned int drop;
	unsigned int duplicate;
	unsigned int corrupt;
	unsigned int corrupted; /* so far: chooses the byte to damage */
	unsigned int delay;
	unsigned int mute; /* as drop, but only replies to requests */
	uint64_t delay_ns;
};

struct fault_message;

struct faults {
	struct loop *loop;
	fault_deliver_fn deliver[2]; /* by fault_direction */
	void *context;
	struct fault_plan plans[2];
	uint64_t announce_late_ns;
	bool stalled;                 /* the firmware hangs */
	struct fault_message *queue;  /* delayed, doubled or refused so far */
	unsigned int forgotten;       /* counts faults_forget() */
};

void faults_init(struct faults *faults, struct loop *loop, fault_deliver_fn rx,
		 fault_deliver_fn tx, void *context);
/* Pass one message on, or do to it what the plan says. */
bool faults_pass(struct faults *faults, enum fault_direction direction, uint32_t source,
		 uint32_t destination, const void *message, uint16_t length);
/* Deliver what is due. */
void faults_run(struct faults *faults);
/* Forget the messages on their way: the peer they belong to is gone. */
void faults_forget(struct faults *faults);
/* Ends all faults. Messages that are delayed already still come. */
void faults_clear(struct faults *faults);

#endif
