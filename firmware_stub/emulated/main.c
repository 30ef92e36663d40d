/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - mcu-backend: a vhost-user back-end whose device is firmware on an emulated MCU.
 *
 *     mcu-backend SOCKET MACHINE FIRMWARE.elf DIRECTORY
 *
 * The front-end's memory is the machine's RAM, and the firmware works the rings itself. What
 * passes here are kicks and calls, starts and stops, as bytes of the MCU's mailbox
 * (firmware_stub/ports/rings/mailbox.h). Each front-end is a power-on. QEMU that ends is
 * firmware that crashed: the front-end is hung up on. Standard output gets a line for each
 * thing that happens; DIRECTORY is that of struct emulator_files.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emulator.h"
#include "mailbox.h"
#include "rpmsg.h"
#include "stub_loop.h"
#include "virtio/vhost_user_session.h"

#define STOP_MS 1000 /* then the power is off */

/* A window begins at such a boundary. */
#define WINDOW_ALIGN UINT64_C(0x100000)
/* Behind the first receive buffer are the other buffers of both directions. */
#define BUFFERS_SIZE (2u * 256u * RPMSG_BUFFER_SIZE)

static const struct emulator_machine *machine;
static struct emulator_files files;
static struct loop *loop;
static int listener;
static struct vhost_user_session session;

static struct {
	struct emulator emulator;
	uint64_t window; /* offset in the front-end's file where the machine's RAM begins */
	uint64_t size;   /* of the RAM */
	dev_t dev;       /* the file */
	ino_t ino;
	uint32_t epoch;
	bool ready;    /* the firmware runs */
	bool attached; /* it works the rings */
} mcu = {.emulator = {.pidfd = -1, .mailbox = -1}};

static bool kicked; /* by this front-end: its receive buffers are in the ring */

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* ---- power ------------------------------------------------------------------------- */

static void mailbox_readable(void *context, uint32_t events);
static void emulator_ended(void *context, uint32_t events);
static void connection(void *context, uint32_t events);

static const struct vhost_user_region *region(void)
{
	return &session.table.payload.table.regions[0];
}

static void power_off(void)
{
	if (!mcu.emulator.pid)
		return;
	loop_remove(loop, mcu.emulator.mailbox);
	loop_remove(loop, mcu.emulator.pidfd);
	emulator_stop(&mcu.emulator);
	mcu.ready = mcu.attached = false;
}

/* The front-end goes. Power off first: the memory is its own. */
static void drop(const char *why)
{
	say("front-end dropped: %s", why);
	power_off();
	loop_remove(loop, session.socket);
	vhost_user_session_end(&session);
	kicked = false;
	loop_add(loop, listener, EPOLLIN, connection, NULL);
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The lowest of rings and posted buffers, as an offset in the file. */
static uint64_t lowest_in_use(void)
{
	uint64_t low = UINT64_MAX;

	for (int i = 0; i < VHOST_USER_RINGS; i++) {
		const struct vhost_user_ring *ring = &session.rings[i];
		const volatile struct split_ring_desc *desc = ring->device.ring.desc;

		low = lower(low, ring->addr.desc - region()->user_addr);
		for (unsigned int d = 0; d < ring->num; d++)
			if (desc[d].len)
				low = lower(low, desc[d].addr - region()->guest_addr);
	}
	return region()->mmap_offset + low;
}

/* A machine whose RAM has a fixed size sees as much of the front-end's memory. */
static bool choose_window(uint64_t file_size)
{
	uint64_t low;

	mcu.window = 0;
	mcu.size = machine->size;
	if (!mcu.size) {
		mcu.size = emulator_make_room(machine, session.table.fds[0],
					      region()->mmap_offset + region()->size);
		return mcu.size;
	}
	if (file_size < mcu.size)
		return false;
	low = lowest_in_use();
	mcu.window = lower(low, file_size - mcu.size) / WINDOW_ALIGN * WINDOW_ALIGN;
	return low + BUFFERS_SIZE <= mcu.window + mcu.size || file_size == mcu.size;
}

static void power_on(void)
{
	struct emulator_window window = {.fd = session.table.fds[0]};
	struct stat st;
	int error;

	if (fstat(window.fd, &st) < 0 || !choose_window((uint64_t)st.st_size)) {
		drop("its memory cannot be the machine's RAM: too small, or of fixed size, or too far apart");
		return;
	}
	window.offset = mcu.window;
	window.size = mcu.size;
	if (getrandom(&mcu.epoch, sizeof(mcu.epoch), 0) < 0 || !mcu.epoch)
		mcu.epoch = 1;
	error = emulator_start(&mcu.emulator, machine, &files, &window);
	if (error) {
		drop(strerror(-error));
		return;
	}
	mcu.dev = st.st_dev;
	mcu.ino = st.st_ino;
	mcu.ready = mcu.attached = false;
	loop_add(loop, mcu.emulator.mailbox, EPOLLIN, mailbox_readable, NULL);
	loop_add(loop, mcu.emulator.pidfd, EPOLLIN, emulator_ended, NULL);
	say("qemu %d", (int)mcu.emulator.pid);
}

static void emulator_ended(void *context, uint32_t events)
{
	(void)context;
	(void)events;
	if (session.socket >= 0)
		drop("QEMU has ended");
	else
		power_off();
}

/* ---- the mailbox --------------------------------------------------------------------- */

static void from_mcu(uint8_t byte)
{
	switch (byte) {
	case MAILBOX_STOPPED:
		mcu.attached = false;
		break;
	case MAILBOX_QUEUE | RPMSG_VQ_RX:
	case MAILBOX_QUEUE | RPMSG_VQ_TX:
		if (mcu.attached)
			notifier_signal(&session.rings[byte & 1].call);
		break;
	default:
		break;
	}
}

/* A ring stops: the firmware has left the memory alone when this returns, or has no power.
 * Meanwhile nobody else is served; there is nobody else. */
static void stopping(void *context, int index)
{
	struct split_device *device = &session.rings[index].device;
	struct pollfd mailbox = {.fd = mcu.emulator.mailbox, .events = POLLIN};
	uint8_t byte = MAILBOX_STOP;

	(void)context;
	if (mcu.attached && emulator_send(&mcu.emulator, &byte, 1))
		while (mcu.attached && poll(&mailbox, 1, STOP_MS) > 0 &&
		       read(mailbox.fd, &byte, 1) == 1)
			from_mcu(byte);
	if (mcu.attached) {
		say("no answer to STOP");
		power_off();
	}
	/* The firmware gives back what it takes before it stops. */
	device->used_idx = device->published = device->last_avail =
		*(const volatile uint16_t *)&device->ring.used->idx;
}

/* Of the window: what of the region the MCU sees, in the front-end's addresses. */
static void clip(struct mailbox_start *start)
{
	uint64_t begin = region()->mmap_offset, end = begin + region()->size;

	if (begin < mcu.window)
		begin = mcu.window;
	end = lower(end, mcu.window + mcu.size);
	start->low = region()->guest_addr + (begin - region()->mmap_offset);
	start->size = end > begin ? end - begin : 0;
	start->memory = machine->ram + (begin - mcu.window);
}

/* A part of a ring, for the MCU; the session has seen that the region holds it. */
static bool place(uint64_t user_addr, size_t size, uint64_t *mcu_addr)
{
	uint64_t offset = user_addr - region()->user_addr + region()->mmap_offset;

	*mcu_addr = machine->ram + (offset - mcu.window);
	return offset >= mcu.window && offset + size <= mcu.window + mcu.size;
}

static bool place_ring(struct mailbox_start *start, int index)
{
	const struct vhost_user_ring *ring = &session.rings[index];

	start->rings[index].num = ring->num;
	start->rings[index].base = ring->base;
	return place(ring->addr.desc, split_ring_desc_size(ring->num), &start->rings[index].desc) &&
	       place(ring->addr.avail, split_ring_avail_size(ring->num),
		     &start->rings[index].avail) &&
	       place(ring->addr.used, split_ring_used_size(ring->num), &start->rings[index].used);
}

static void attach(void)
{
	struct mailbox_start start = {.epoch = mcu.epoch};
	uint8_t message[1 + sizeof(start)] = {MAILBOX_START};

	clip(&start);
	if (!place_ring(&start, RPMSG_VQ_RX) || !place_ring(&start, RPMSG_VQ_TX)) {
		drop("a virtqueue is outside of what the machine sees");
		return;
	}
	start.check = mailbox_check(&start);
	memcpy(message + 1, &start, sizeof(start));
	mcu.attached = emulator_send(&mcu.emulator, message, sizeof(message));
	if (mcu.attached)
		say("attached");
	else
		drop("the firmware does not read its mailbox");
}

/* After each batch of events: whatever has become possible is done. */
static void look(void *context)
{
	struct stat st;

	(void)context;
	if (session.memory.count > 1)
		drop("its memory has more than one region");
	if (mcu.emulator.pid && session.table.fd_count &&
	    (fstat(session.table.fds[0], &st) < 0 || st.st_dev != mcu.dev || st.st_ino != mcu.ino))
		power_off();
	if (!mcu.emulator.pid && session.memory.count &&
	    (!machine->size || (kicked && vhost_user_session_running(&session))))
		power_on();
	if (mcu.ready && !mcu.attached && vhost_user_session_running(&session))
		attach();
}

static void mailbox_readable(void *context, uint32_t events)
{
	bool again = false, broken = false;
	uint8_t bytes[64];
	ssize_t got = read(mcu.emulator.mailbox, bytes, sizeof(bytes));

	(void)context;
	(void)events;
	if (got == 0)
		loop_remove(loop, mcu.emulator.mailbox); /* the end of QEMU tells the rest */
	for (ssize_t i = 0; i < got; i++) {
		again |= bytes[i] == MAILBOX_READY && mcu.attached;
		mcu.ready |= bytes[i] == MAILBOX_READY;
		broken |= bytes[i] == MAILBOX_BROKEN;
		from_mcu(bytes[i]);
	}
	if (again)
		drop("the firmware has started again");
	else if (broken)
		drop("the firmware cannot make sense of its rings");
}

/* ---- the front-end -------------------------------------------------------------------- */

static void kick(void *context, uint32_t events)
{
	uint8_t byte = MAILBOX_QUEUE;

	(void)context;
	(void)events;
	kicked = true;
	/* Which ring does not matter, the firmware looks at both. Without room for the byte
	 * it has others to read first, and then looks. */
	if (mcu.attached)
		(void)emulator_send(&mcu.emulator, &byte, 1);
}

static int watch_kick(void *context, int fd)
{
	return loop_add(loop, fd, EPOLLIN | EPOLLET, kick, context);
}

static void unwatch_kick(void *context, int fd)
{
	(void)context;
	loop_remove(loop, fd);
}

static void applied(void *context)
{
	(void)context; /* what it changes is looked at when the message is through */
}

static void refused(void *context, const char *why)
{
	(void)context;
	say("refused: %s", why);
}

static const struct vhost_user_session_ops ops = {
	.features = VHOST_USER_BIT(VIRTIO_F_VERSION_1) |
		    VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | VHOST_USER_BIT(VIRTIO_RPMSG_F_NS),
	.protocol_features = VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_MQ) |
			     VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
			     VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
			     VHOST_USER_BIT(VHOST_USER_PROTOCOL_F_CONFIG),
	.watch_kick = watch_kick,
	.unwatch_kick = unwatch_kick,
	.stopping = stopping,
	.applied = applied,
	.refused = refused,
};

static void socket_readable(void *context, uint32_t events)
{
	int ret;

	(void)context;
	(void)events;
	do
		ret = vhost_user_session_receive(&session);
	while (ret > 0);
	if (ret < 0)
		drop(ret == -EPROTO ? session.why : "it closed");
}

static void connection(void *context, uint32_t events)
{
	int socket = loop_accept(loop, listener);

	(void)context;
	(void)events;
	if (socket < 0)
		return;
	loop_remove(loop, listener); /* one at a time: the others wait */
	vhost_user_session_start(&session, socket);
	loop_add(loop, socket, EPOLLIN | EPOLLRDHUP, socket_readable, NULL);
}

int main(int argc, char **argv)
{
	char why[200];

	if (argc != 5) {
		fprintf(stderr, "usage: %s SOCKET MACHINE FIRMWARE.elf DIRECTORY\n", argv[0]);
		return 2;
	}
	machine = emulator_find(argv[2]);
	if (!machine) {
		fprintf(stderr, "%s: there is no machine %s, but sifive_u, mps2-an385 and mps3-an536\n",
			argv[0], argv[2]);
		return 2;
	}
	files = (struct emulator_files){.firmware = argv[3], .directory = argv[4]};
	loop = loop_new();
	listener = vhost_user_listen(argv[1], -1, why, sizeof(why));
	if (!loop || listener < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], listener < 0 ? why : strerror(ENOMEM));
		return 1;
	}
	vhost_user_session_init(&session, &ops, NULL);
	loop_add(loop, listener, EPOLLIN, connection, NULL);
	say("listening");
	loop_run(loop, look, NULL);
	return 0;
}
