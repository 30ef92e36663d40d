/* SPDX-License-Identifier: BSD-3-Clause */
/* export.c - the virtio-gpio device: its guest, its queues, its life. */
#define _GNU_SOURCE
#include "export_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FEATURES (VHOST_USER_BIT(VIRTIO_F_VERSION_1) | \
		  VHOST_USER_BIT(VIRTIO_F_INDIRECT_DESC) | \
		  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | \
		  VHOST_USER_BIT(VIRTIO_GPIO_F_IRQ))

#define PROTOCOL_FEATURES (VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_CONFIG) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
			   VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))

/* Chains taken from a ring in one turn of the loop, which others use, too. */
#define TURN_MAX 256u
/* How long after a message its changes are kept: many messages in a row are kept once. */
#define KEEP_DELAY_NS UINT64_C(10000000)
/* The pause before the next attempt, when descriptors or memory lack for a guest. */
#define ACCEPT_PAUSE_NS UINT64_C(1000000000)

/* ---- the queues --------------------------------------------------------------------------- */

static int take_buffer(struct gb_export *e)
{
	struct iovec iov[GUEST_PARTS_MAX];
	struct split_chain chain = {.iov = iov, .iov_max = GUEST_PARTS_MAX};
	rpmsg_gpio_le16 gpio;
	struct line *line;

	if (!guest_pop(&e->guest, EVENTQ, &chain))
		return 0;
	if (chain.readable_bytes != sizeof(gpio) || chain.writable_bytes < 1) {
		guest_fail(&e->guest,
			     "virtqueue 1: a buffer of %zu bytes with room for %zu; it takes 2 and 1",
			     chain.readable_bytes, chain.writable_bytes);
		return 0;
	}
	split_chain_read(&chain, 0, &gpio, sizeof(gpio));
	if (rpmsg_gpio_load16(gpio) >= e->base.count) {
		guest_fail(&e->guest, "virtqueue 1: a buffer for line %u; there are %u lines",
			     rpmsg_gpio_load16(gpio), e->base.count);
		return 0;
	}
	line = &e->lines[rpmsg_gpio_load16(gpio)];
	if (line->buffered) {
		guest_fail(&e->guest, "virtqueue 1: a second buffer for line %u",
			     line->base.index);
		return 0;
	}
	line->buffered = true;
	line->buffer = chain.head;
	line->buffer_status = writable_byte(&chain, 0);
	export_line_buffered(e, line);
	return 1;
}

/* A guest with more chains than a turn takes waits for the next turn, so that none keeps the loop
 * from the others. */
static void consume(struct gb_export *e, int index, int (*take)(struct gb_export *e))
{
	struct split_device *device = &e->guest.session.rings[index].device;
	unsigned int count = 0;

	if (!guest_runs(&e->guest, index))
		return;
	split_device_disable_kicks(device);
	do {
		while (count < TURN_MAX && take(e))
			count++;
		if (!guest_runs(&e->guest, index) || (index == REQUESTQ && e->starved))
			return; /* an answer looks again */
		if (count == TURN_MAX) {
			guest_look_again(&e->guest);
			return;
		}
	} while (split_device_enable_kicks(device));
}

/* ---- the session ------------------------------------------------------------------------ */

/* A guest that outlived the service before this one. */
static void go_on(struct gb_export *e)
{
	e->stale = false;
	for (uint32_t i = 0; i < e->base.count; i++)
		export_line_restore(e, &e->lines[i]);
}

static void on_look(struct guest *guest)
{
	struct gb_export *e = of_guest(guest);

	if (!guest_runs(guest, REQUESTQ) || e->paused)
		return;
	if (e->stale)
		go_on(e);
	if (e->status.no_irq == has_irq(e)) {
		e->status.no_irq = !has_irq(e);
		gb_exported_report(&e->base);
	}
	/* Buffers first: a request may want to give one back. */
	if (has_irq(e))
		consume(e, EVENTQ, take_buffer);
	consume(e, REQUESTQ, export_take_request);
}

static void on_stopping(void *guest, int index)
{
	struct gb_export *e = of_guest(guest);

	/* A driver that lives on queues them again; one that died does not mind. */
	for (uint32_t i = 0; index == EVENTQ && i < e->base.count; i++)
		export_line_give_back(e, &e->lines[i], VIRTIO_GPIO_EVENT_INVALID);
}

static void on_reset(void *guest)
{
	struct gb_export *e = of_guest(guest);

	e->stale = false;
	for (uint32_t i = 0; i < e->base.count; i++)
		export_line_reset(e, &e->lines[i]);
}

static bool get_config(void *guest, uint32_t offset, uint32_t size, uint8_t *to)
{
	const struct gb_export *e = of_guest(guest);

	if (size > sizeof(e->config) || offset > sizeof(e->config) - size)
		return false;
	memcpy(to, (const uint8_t *)&e->config + offset, size);
	return true;
}

/* ---- what the guest has set up ---------------------------------------------------------- */

/* File and socket are ours, but who knows what wrote them last. */
static void check_states(struct gb_export *e)
{
	for (uint32_t i = 0; i < e->base.count; i++) {
		struct gb_export_line *state = &e->states[i];

		if (!export_sensible(VIRTIO_GPIO_MSG_SET_DIRECTION, state->direction) ||
		    !export_sensible(VIRTIO_GPIO_MSG_SET_VALUE, state->value) ||
		    !export_sensible(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, state->irq_type))
			*state = (struct gb_export_line){.flags = GB_EXPORT_LINE_TOUCHED};
		export_save(e, &e->lines[i]);
	}
}

/* ---- a guest that outlives this process ---------------------------------------------------- */

static void keep(struct gb_export *e)
{
	int error = -kept_save(&e->kept, &e->guest.session, false);

	/* A message that is on its way here, or held, comes back to it. */
	if (error == EBUSY || error == e->status.keep_error)
		return;
	e->status.keep_error = error;
	gb_exported_report(&e->base);
}

static void keep_now(struct gb_timer *timer)
{
	struct gb_export *e =
		(struct gb_export *)(void *)((char *)timer - offsetof(struct gb_export, keep_timer));

	if (e->guest.session.socket >= 0 && !e->guest.closing)
		keep(e);
}

static void on_changing(struct guest *guest)
{
	struct gb_export *e = of_guest(guest);

	if (kept_changing(&e->kept) && !e->keep_timer.armed)
		gb_timer_arm(e->base.pump, &e->keep_timer, gb_now_ns() + KEEP_DELAY_NS);
}

/* ---- the door ------------------------------------------------------------------------------ */

static void on_connection(void *owner, int index, uint32_t events);

static void listen_later(struct gb_export *e)
{
	gb_timer_arm(e->base.pump, &e->listen_timer, gb_now_ns() + ACCEPT_PAUSE_NS);
}

static void listen_again(struct gb_export *e)
{
	if (e->base.closed || e->listen_source)
		return;
	e->listen_source = gb_source_add(e->base.pump, e->listen_fd, EPOLLIN, on_connection, e, 0);
	if (!e->listen_source)
		listen_later(e);
}

static void pause_over(struct gb_timer *timer)
{
	listen_again((struct gb_export *)(void *)((char *)timer -
						  offsetof(struct gb_export, listen_timer)));
}

static void stop_listening(struct gb_export *e)
{
	gb_timer_cancel(e->base.pump, &e->listen_timer);
	gb_source_remove(e->base.pump, e->listen_source);
	e->listen_source = NULL;
}

/* The guest waits on: it would wake us without end. */
static bool out_of_something(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static void on_gone(struct guest *guest)
{
	struct gb_export *e = of_guest(guest);

	export_forget_requests(e);
	for (uint32_t i = 0; i < e->base.count; i++) {
		e->lines[i].buffered = false;
		e->lines[i].tickets = e->lines[i].answers = 0;
	}
	e->status.connected = false;
	gb_timer_cancel(e->base.pump, &e->keep_timer);
	if (!e->handed_over)
		kept_forget(&e->kept);
	memcpy(e->status.why, guest->why, sizeof(e->status.why));
	gb_exported_report(&e->base);
	if (e->base.closed)
		return;
	on_reset(guest);
	listen_again(e);
}

static const struct guest_ops guest_ops = {
	.session = {
		.features = FEATURES,
		.protocol_features = PROTOCOL_FEATURES,
		.get_config = get_config,
		.mapped = guest_mapped,
		.watch_kick = guest_watch_kick,
		.unwatch_kick = guest_unwatch_kick,
		.stopping = on_stopping,
		.busy = export_busy,
		.reset = on_reset,
		.applied = guest_applied,
		.refused = guest_refused,
	},
	.look = on_look,
	.changing = on_changing,
	.gone = on_gone,
};

static void welcome(struct gb_export *e)
{
	e->status.connected = true;
	e->status.guests++;
	e->status.no_irq = false;
	e->status.why[0] = '\0';
	e->guest.session.keeps_log = kept_is_open(&e->kept);
	gb_exported_report(&e->base);
}

/* One guest at a time: the next one waits in the backlog. */
static void on_connection(void *owner, int index, uint32_t events)
{
	struct gb_export *e = owner;
	int fd = accept4(e->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)index;
	(void)events;
	if (fd < 0 && out_of_something(errno)) {
		stop_listening(e);
		listen_later(e);
	}
	if (fd < 0 || guest_open(&e->guest, fd) < 0)
		return;
	stop_listening(e);
	welcome(e);
}

void gb_export_listen(struct gb_export *e)
{
	gb_lock(e->base.pump);
	kept_begin(&e->kept, e->states, e->base.count);
	kept_forget(&e->kept);
	listen_again(e);
	gb_unlock(e->base.pump);
}

static int take_over(struct gb_export *e, int connection)
{
	int error;

	e->stale = true;
	welcome(e);
	/* What is kept for good stays unchanged here, so that a kill on the way loses nothing. */
	if (!kept_lasts(&e->kept))
		on_changing(&e->guest);
	error = guest_take_over(&e->guest, connection, e->kept.from);
	if (error)
		e->status.connected = false;
	else if (e->status.connected)
		keep(e);
	/* It goes on also where its rings are stopped, so that no edge of a pause is lost. */
	if (e->stale && e->status.connected && e->guest.session.based)
		go_on(e);
	return error;
}

int gb_export_take_over(struct gb_export *e, int connection)
{
	int error = 0;

	gb_lock(e->base.pump);
	kept_lines(&e->kept, e->states, e->base.count);
	kept_begin(&e->kept, e->states, e->base.count);
	check_states(e);
	if (connection >= 0)
		error = take_over(e, connection);
	if (!e->status.connected) {
		kept_forget(&e->kept);
		on_reset(&e->guest);
		listen_again(e);
	}
	gb_unlock(e->base.pump);
	return error;
}

int gb_export_connection(struct gb_export *e)
{
	int connection;

	gb_lock(e->base.pump);
	connection = guest_connection(&e->guest);
	gb_unlock(e->base.pump);
	return connection;
}

void gb_export_pause(struct gb_export *e)
{
	gb_lock(e->base.pump);
	e->paused = true;
	gb_exported_report(&e->base);
	gb_unlock(e->base.pump);
}

/* ---- what Python asks ----------------------------------------------------------------------- */

void gb_export_status(struct gb_export *e, struct gb_export_status *status)
{
	gb_lock(e->base.pump);
	*status = e->status;
	status->at_rest = e->paused && !export_busy(&e->guest);
	e->base.reported = false;
	gb_unlock(e->base.pump);
}

int64_t gb_export_changed(struct gb_export *e, uint32_t index)
{
	return gb_exported_changed(&e->base, index);
}

int gb_export_line(struct gb_export *e, uint32_t index, struct gb_export_line *state)
{
	if (index >= e->base.count)
		return -EINVAL;
	gb_lock(e->base.pump);
	*state = e->states[index];
	gb_unlock(e->base.pump);
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int open_states(struct gb_export *e, int fd)
{
	int error;

	e->states = calloc(e->base.count, sizeof(*e->states));
	if (!e->states)
		return -ENOMEM;
	if (fd < 0)
		return 0;
	error = state_file_open(&e->file, fd, e->base.count);
	if (!error)
		error = state_file_read(fd, e->states, e->base.count);
	if (error)
		return error;
	e->stale = true;
	return 0;
}

static int prepare(struct gb_export *e, const struct gb_export_config *config)
{
	int error;

	e->lines = calloc(config->lines, sizeof(*e->lines));
	e->names = malloc(config->names_size + 1);
	if (!e->lines || !e->names)
		return -ENOMEM;
	e->base.lines = e->lines;
	export_init_lines(e);
	memcpy(e->names, config->names, config->names_size);
	e->names_size = config->names_size;
	e->config.ngpio = rpmsg_gpio_store16((uint16_t)config->lines);
	e->config.gpio_names_size = rpmsg_gpio_store32(config->names_size);
	error = open_states(e, config->state_fd);
	return error ? error : kept_open(&e->kept, config);
}

/* A guest whose request is not answered hangs for ever, and one that goes on with
 * the next service presents every buffer again that was not returned. */
static void answer_all(struct gb_export *e)
{
	for (uint32_t i = 0; i < e->base.count; i++)
		export_line_give_back(e, &e->lines[i], VIRTIO_GPIO_EVENT_INVALID);
	export_refuse_requests(e);
}

static int hand_over(struct gb_export *e)
{
	int connection = guest_connection(&e->guest);
	int error = connection < 0 ? connection : kept_save(&e->kept, &e->guest.session, true);

	if (!error) {
		e->guest.stays = e->handed_over = true;
		return connection;
	}
	if (connection >= 0)
		close(connection);
	return error;
}

static int end(struct gb_export *e, bool hands_over)
{
	int connection = -ENOTCONN;

	gb_part_remove(&e->base.pump->users, &e->base.part);
	e->base.closed = true;
	stop_listening(e);
	close(e->listen_fd);
	guest_enter(&e->guest);
	answer_all(e);
	if (hands_over)
		connection = hand_over(e);
	guest_drop(&e->guest);
	guest_leave(&e->guest);
	for (uint32_t i = 0; i < e->base.count; i++)
		export_line_detach(&e->lines[i]);
	gb_exported_unreference(&e->base);
	return connection;
}

void gb_export_free(struct gb_export *e)
{
	end(e, false);
}

static void pump_ends(struct gb_part *part)
{
	gb_export_free((struct gb_export *)(void *)((char *)part -
						    offsetof(struct gb_export, base.part)));
}

static void free_export(struct gb_exported *exported)
{
	struct gb_export *e = (struct gb_export *)(void *)((char *)exported -
							   offsetof(struct gb_export, base));

	state_file_close(&e->file);
	kept_close(&e->kept);
	free(e->states);
	free(e->lines);
	free(e->names);
	free(e);
}

static struct gb_export *export_new(struct gb_pump *pump, uint64_t id,
				    const struct gb_export_config *config)
{
	struct gb_export *e = calloc(1, sizeof(*e));
	int error;

	if (!e)
		return NULL;
	e->base = (struct gb_exported){
		.pump = pump,
		.part.free = pump_ends,
		.id = id,
		.timeout_ns = (uint64_t)config->timeout_ms * 1000000,
		.count = config->lines,
		.line_size = sizeof(*e->lines),
		.references = 1,
		.free = free_export,
	};
	e->listen_fd = config->listen_fd;
	e->listen_timer.expired = pause_over;
	e->keep_timer.expired = keep_now;
	error = prepare(e, config);
	if (!error)
		return e;
	gb_exported_unreference(&e->base);
	errno = -error;
	return NULL;
}

struct gb_export *gb_export_open(struct gb_pump *pump, uint64_t id,
				 const struct gb_export_config *config)
{
	struct gb_export *e = NULL;

	errno = EINVAL;
	if (config->lines >= 1 && config->lines <= GB_EXPORT_LINES_MAX)
		e = export_new(pump, id, config);
	if (!e) {
		close(config->listen_fd);
		return NULL;
	}
	gb_lock(pump);
	guest_init(&e->guest, pump, &guest_ops);
	if (e->stale)
		check_states(e);
	gb_part_add(&pump->users, &e->base.part);
	gb_unlock(pump);
	return e;
}

static int lock_and_end(struct gb_export *e, bool hands_over)
{
	struct gb_pump *pump = e->base.pump;
	int connection;

	gb_lock(pump);
	connection = end(e, hands_over);
	gb_unlock(pump);
	return connection;
}

void gb_export_close(struct gb_export *e)
{
	lock_and_end(e, false);
}

int gb_export_hand_over(struct gb_export *e)
{
	return lock_and_end(e, true);
}
