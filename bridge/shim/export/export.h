/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * export.h - lines of controllers as a virtio-gpio device (virtio 1.3, 5.18) for
 * a guest kernel, by vhost-user.
 *
 * A line of the export is attached to a line of a controller, and detached when
 * that goes away; the guest sees ERR meanwhile. What the guest has set up is
 * remembered and set up again when the line is attached the next time.
 */
#ifndef GB_EXPORT_H
#define GB_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pump/controller.h"

struct gb_export;

#define GB_EXPORT_LINES_MAX 1024
#define GB_EXPORT_WHY_MAX   200

/* At the beginning of a state file, which the caller made and checks. */
struct gb_export_state_header {
	uint8_t magic[8];
	uint8_t identity[32]; /* of the lines */
	uint32_t session;     /* enum gb_export_session; of what is kept */
	uint32_t crashes;     /* the caller's */
};

#define GB_EXPORT_STATE_HEADER sizeof(struct gb_export_state_header)

/* Of the guest's session, in the socket pair beside the memory. */
enum gb_export_session {
	GB_EXPORT_SESSION_NONE,
	GB_EXPORT_SESSION_CHANGING, /* what is in the socket pair is not as it is now */
	GB_EXPORT_SESSION_WHOLE,
	GB_EXPORT_SESSION_AT_REST, /* whole until a chain is taken: there is no log of that */
};

/* What the guest has set up of a line; survives in a file, see below. */
struct gb_export_line {
	uint8_t direction; /* VIRTIO_GPIO_DIRECTION_* */
	uint8_t value;     /* last one set */
	uint8_t irq_type;  /* VIRTIO_GPIO_IRQ_TYPE_* */
	uint8_t flags;     /* GB_EXPORT_LINE_* */
};

enum gb_export_line_flags {
	GB_EXPORT_LINE_VALUE = 1 << 0,   /* value was set */
	GB_EXPORT_LINE_TOUCHED = 1 << 1, /* the firmware has state of the guest */
	GB_EXPORT_LINE_LATCHED = 1 << 2, /* an edge came while there was no buffer */
};

struct gb_export_status {
	bool connected;
	bool no_irq; /* its driver went without VIRTIO_GPIO_F_IRQ */
	uint64_t guests;   /* that connected so far */
	uint64_t requests; /* answered so far */
	uint64_t events;   /* interrupts given to guests so far */
	uint64_t faults;   /* lines that could not be set up again or let go */
	bool state_lost; /* its file was truncated: no guest outlives this process */
	bool at_rest; /* paused, and no request is under way */
	int keep_error; /* errno: why the guest would not outlive a crash; 0: it would */
	char why[GB_EXPORT_WHY_MAX]; /* why the last guest was disconnected; empty: it left */
};

struct gb_export_config {
	int listen_fd;    /* SOCK_STREAM, listening; the export owns it */
	int state_fd;     /* file of a header and a struct gb_export_line for each line,
			   * with all of its blocks, or -1; the caller's */
	int kept_fd;      /* sealed memory of the same form, or -1: no guest is kept */
	int kept_pair[2]; /* both ends of a SOCK_SEQPACKET pair, to read and to write */
	uint32_t lines;   /* 1..GB_EXPORT_LINES_MAX */
	const char *names; /* as in GET_LINE_NAMES: each with its NUL, or none at all */
	uint32_t names_size;
	uint32_t timeout_ms; /* deadline of one request to a controller */
};

/*
 * Serve guests, one at a time, from gb_export_listen() on. Reports GB_REPORT_EXPORT with `id`
 * when the status or the direction of a line changed. With a state file a guest that connects
 * again after the service was started anew finds its lines as they were. Where all that is kept,
 * and the guest's connection, outlive this process however it ends, gb_export_take_over() of
 * the next one goes on with the guest. NULL with errno; listen_fd is closed then.
 */
struct gb_export *gb_export_open(struct gb_pump *pump, uint64_t id,
				 const struct gb_export_config *config);
/* Returns 0; -EBUSY: the controller's line has an owner; -EINVAL, -ENOMEM. */
int gb_export_attach(struct gb_export *exported, uint32_t index,
		     struct gb_controller *controller, uint16_t gpio);
void gb_export_detach(struct gb_export *exported, uint32_t index);
void gb_export_status(struct gb_export *exported, struct gb_export_status *status);
/* The first line from `line` on whose direction the guest has changed since it was
 * named here the last time; -1: none. The report comes after the change. */
int64_t gb_export_changed(struct gb_export *exported, uint32_t index);
/* Put what the guest has set up of a line into *state. 0 or -EINVAL. */
int gb_export_line(struct gb_export *exported, uint32_t index, struct gb_export_line *state);
/* Let guests connect. Lines that are attached before never answer ERR because they are missing. */
void gb_export_listen(struct gb_export *exported);
/* As gb_export_listen(), with the guest that was kept by the process before: its
 * connection is the export's from here on. -1 as connection: the guest left meanwhile,
 * and its lines are let go. 0 or -errno; it listens either way. */
int gb_export_take_over(struct gb_export *exported, int connection);
/* A copy of the guest's connection, the caller's, or -errno: there is none. */
int gb_export_connection(struct gb_export *exported);
/* Take no more requests; a report comes when the last one under way is answered. */
void gb_export_pause(struct gb_export *exported);
/* End the export: requests under way are answered ERR, the guest is let go, lines stay as they
 * are. */
void gb_export_close(struct gb_export *exported);
/* The same with the pump's lock held. */
void gb_export_free(struct gb_export *exported);
/*
 * As gb_export_close(), but the guest stays connected, for another process. Its
 * connection, the caller's, or -errno: there is no guest, or it was let go all the same.
 */
int gb_export_hand_over(struct gb_export *exported);

#endif
