/* SPDX-License-Identifier: BSD-3-Clause */
/* guest.c - one vhost-user session on the pump's loop. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "state_file.h"
#include "virtio/vhost_user_handover.h"

/* ---- memory that vanished, or was never there ------------------------------ */

#define TRUNCATED "the guest truncated its memory"
#define UNTOUCHED                                                                                  \
	"the guest uses more memory that its VMM has never touched than this service pays " \
	"for: let the VMM touch it first (QEMU: prealloc=on of the memory back-end)"

/* The guests whose callbacks this thread is in. */
static _Thread_local struct guest *entered;
static struct sigaction before_us;

/* If `addr` is in there, fill its page, or put zeroed memory in the place of the whole. */
static bool repair(struct guest *guest, void *base, size_t length, const void *addr)
{
	if ((uintptr_t)addr - (uintptr_t)base >= length)
		return false;
	if (guest_memory_fill(&guest->memory, addr))
		return true;
	guest->memory_lost = 1;
	return mmap(base, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0) != MAP_FAILED;
}

static bool repair_memory(struct guest *guest, const void *addr)
{
	const struct vhost_user_memory *memory = &guest->session.memory;
	const struct inflight_log *log = &guest->session.log;
	bool found = repair(guest, log->base, log->length, addr);

	for (unsigned int i = 0; i < memory->count && !found; i++)
		found = repair(guest, memory->mappings[i].base, memory->mappings[i].length, addr);
	return found;
}

/* Memory that is not sealed can vanish under us, and a page can be missing that nobody has touched:
 * both raise SIGBUS in the thread that touches it. Where the handler may not fill the page, it puts
 * zeroed private memory in the place of the mapping, so that the access ends; the guest is
 * disconnected when the callback is over. */
static void memory_vanished(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (state_file_vanished(info->si_addr))
		return;
	for (struct guest *guest = entered; guest; guest = guest->outer)
		if (repair_memory(guest, info->si_addr))
			return;
	/* It was neither: a real crash, as without this handler. */
	sigaction(number, &before_us, NULL);
}

static void handle_sigbus(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO};

	action.sa_sigaction = memory_vanished;
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, &before_us);
}

void guest_enter(struct guest *guest)
{
	if (guest->busy++)
		return;
	guest->outer = entered;
	entered = guest;
}

void guest_leave(struct guest *guest)
{
	if (guest->memory_lost) {
		guest->closing = false; /* whatever else was found follows from it */
		guest_fail(guest, "%s", guest->memory.spent ? UNTOUCHED : TRUNCATED);
	}
	if (guest->busy == 1 && guest->closing)
		guest_drop(guest);
	if (--guest->busy == 0)
		entered = guest->outer;
}

void guest_fail(struct guest *guest, const char *format, ...)
{
	va_list args;

	if (guest->closing || guest->session.socket < 0)
		return; /* the first reason is the one that counts */
	va_start(args, format);
	vsnprintf(guest->why, sizeof(guest->why), format, args);
	va_end(args);
	guest->closing = true;
}

/* ---- its chains ------------------------------------------------------------- */

bool guest_runs(const struct guest *guest, int index)
{
	return guest->session.rings[index].running && !guest->closing;
}

bool guest_pop(struct guest *guest, int index, struct split_chain *chain)
{
	struct split_device *device = &guest->session.rings[index].device;
	uint64_t bit, *word;
	int got;

	if (!guest_runs(guest, index))
		return false;
	got = split_device_pop(device, chain);
	if (got < 0)
		guest_fail(guest, "virtqueue %d: %s", index, device->ring.error);
	if (got <= 0)
		return false;
	word = &guest->taken[index][chain->head / 64];
	bit = UINT64_C(1) << (chain->head % 64);
	if (*word & bit) {
		guest_fail(guest, "virtqueue %d: descriptor %u is made available twice", index,
			   chain->head);
		return false;
	}
	*word |= bit;
	return true;
}

void guest_push(struct guest *guest, int index, uint16_t head, uint32_t written)
{
	struct vhost_user_ring *ring = &guest->session.rings[index];

	guest->taken[index][head / 64] &= ~(UINT64_C(1) << (head % 64));
	if (!ring->running)
		return;
	split_device_push(&ring->device, head, written);
	gb_flush_want(guest->pump, &guest->flush);
}

/* The guest is told once of all that came back in a turn of the loop. Buffers for events, which are
 * in the last ring, come before the answer of the request that gave them back. */
static void publish(struct guest *guest)
{
	for (int index = VHOST_USER_RINGS; index--;)
		vhost_user_session_publish(&guest->session, index);
}

static void turn_over(struct gb_flush *flush)
{
	struct guest *guest =
		(struct guest *)(void *)((char *)flush - offsetof(struct guest, flush));

	guest_enter(guest);
	publish(guest);
	guest_leave(guest);
}

/* ---- looking at the rings ----------------------------------------------------- */

static void look(struct guest *guest)
{
	/* While a message is held, the device comes to rest. */
	if (!guest->session.held && !guest->closing)
		guest->ops->look(guest);
}

void guest_look_again(struct guest *guest)
{
	/* Requests of a guest that is gone come back, too. */
	if (guest->session.socket >= 0)
		gb_timer_arm(guest->pump, &guest->again, 0);
}

static void look_timer(struct gb_timer *timer)
{
	struct guest *guest =
		(struct guest *)(void *)((char *)timer - offsetof(struct guest, again));

	guest_enter(guest);
	look(guest);
	guest_leave(guest);
}

static void kicked(void *owner, int index, uint32_t events)
{
	struct guest *guest = owner;

	(void)index;
	(void)events;
	guest_enter(guest);
	look(guest);
	guest_leave(guest);
}

/* ---- the session ---------------------------------------------------------------- */

int guest_watch_kick(void *context, int fd)
{
	struct guest *guest = context;

	for (unsigned int i = 0; i < GUEST_KICKS_MAX; i++) {
		if (guest->kicks[i])
			continue;
		/* Edge triggered, so that no read is needed for a kick, whatever kind of file it
		 * is. */
		guest->kicks[i] = gb_source_add(guest->pump, fd, EPOLLIN | EPOLLET, kicked,
						guest, 0);
		return guest->kicks[i] ? 0 : -errno;
	}
	return -EMFILE;
}

void guest_unwatch_kick(void *context, int fd)
{
	struct guest *guest = context;

	for (unsigned int i = 0; i < GUEST_KICKS_MAX; i++) {
		if (guest->kicks[i] && guest->kicks[i]->fd == fd) {
			gb_source_remove(guest->pump, guest->kicks[i]);
			guest->kicks[i] = NULL;
		}
	}
}

void guest_mapped(void *context, void *base, size_t length)
{
	struct guest *guest = context;

	guest_memory_watch(&guest->memory, base, length);
}

void guest_applied(void *context)
{
	look(context);
}

/* The guest knows of the refusal, and goes on or not. */
void guest_refused(void *context, const char *why)
{
	(void)context;
	(void)why;
}

static void received(struct guest *guest, int result)
{
	if (result == -EPROTO) {
		guest_fail(guest, "%s", guest->session.why);
	} else if (result < 0) {
		guest->closing = true; /* it left */
	} else {
		gb_source_modify(guest->pump, guest->source, guest->session.held ? 0 : EPOLLIN);
	}
}

static void socket_ready(void *owner, int index, uint32_t events)
{
	struct guest *guest = owner;

	(void)index;
	guest_enter(guest);
	if (guest->session.held && events & (EPOLLHUP | EPOLLERR))
		guest->closing = true;
	else if (!guest->closing) {
		guest->ops->changing(guest);
		received(guest, vhost_user_session_receive(&guest->session));
	}
	guest_leave(guest);
}

void guest_resume(struct guest *guest)
{
	if (!guest->session.held || guest->closing)
		return;
	guest->ops->changing(guest);
	received(guest, vhost_user_session_resume(&guest->session));
	look(guest); /* there may have been kicks meanwhile, even if the message was refused */
}

/* ---- life -------------------------------------------------------------------------- */

void guest_init(struct guest *guest, struct gb_pump *pump, const struct guest_ops *ops)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, handle_sigbus);
	memset(guest, 0, sizeof(*guest));
	guest->pump = pump;
	guest->ops = ops;
	guest->again.expired = look_timer;
	guest->flush.flush = turn_over;
	guest_memory_init(&guest->memory);
	vhost_user_session_init(&guest->session, &ops->session, guest);
}

int guest_open(struct guest *guest, int socket)
{
	guest->source = gb_source_add(guest->pump, socket, EPOLLIN, socket_ready, guest, 0);
	if (!guest->source) {
		close(socket);
		return -errno;
	}
	guest->why[0] = '\0';
	vhost_user_session_start(&guest->session, socket);
	return 0;
}

int guest_take_over(struct guest *guest, int socket, int from)
{
	int error = guest_open(guest, socket);

	if (error)
		return error;
	guest_enter(guest);
	if (vhost_user_session_load(&guest->session, from) < 0)
		guest_fail(guest, "what the service before says of it: %s", guest->session.why);
	guest_leave(guest);
	return 0;
}

int guest_connection(const struct guest *guest)
{
	int socket;

	if (guest->session.socket < 0 || guest->closing || guest->memory_lost)
		return -ENOTCONN;
	socket = fcntl(guest->session.socket, F_DUPFD_CLOEXEC, 0);
	return socket < 0 ? -errno : socket;
}

void guest_drop(struct guest *guest)
{
	if (guest->session.socket < 0)
		return;
	publish(guest);
	gb_timer_cancel(guest->pump, &guest->again);
	gb_flush_cancel(guest->pump, &guest->flush);
	gb_source_remove(guest->pump, guest->source);
	guest->source = NULL;
	/* Others may have copies of it. */
	if (!guest->stays)
		shutdown(guest->session.socket, SHUT_RDWR);
	vhost_user_session_end(&guest->session);
	guest_memory_end(&guest->memory);
	memset(guest->taken, 0, sizeof(guest->taken));
	guest->closing = guest->stays = false;
	guest->memory_lost = 0;
	guest->ops->gone(guest);
}
