/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stub's back-end: vhost-user messages of a hostile front-end, and the device side of
 * rpmsg and its rings. The firmware behind it echoes what it hears.
 */
#include "hostile_guest.h"
#include "rpmsg.h"
#include "rpmsg_backend.h"
#include "stub_loop.h"

static struct input input;
static struct hostile_guest guest;
static struct loop *loop;
static struct rpmsg_backend *backend;
static unsigned int set_up, guests; /* the next part of an honest set-up; GUEST_SET_UP: none */
static int waiting;         /* a connection that was not accepted yet */
static bool hold;
static int listener;

static void attached(void *context)
{
	(void)context;
	rpmsg_backend_announce(backend, "rpmsg-io-0", 1024, true);
}

static void detached(void *context)
{
	(void)context;
	hold = false;
}

static bool received(void *context, uint32_t source, uint32_t destination, const void *message,
		     uint16_t length)
{
	(void)context;
	if (hold)
		return false;
	rpmsg_backend_send(backend, destination, source, message, length);
	return true;
}

static void writable(void *context)
{
	(void)context;
	rpmsg_backend_send(backend, 1024, 1, "late", 4);
}

static const struct rpmsg_backend_ops ops = {attached, detached, received, writable};

static int accepted(void)
{
	int fd = waiting;

	waiting = -1;
	return fd;
}

static void connect_guest(void)
{
	if ((guest.socket >= 0 && kernel_is_open(guest.socket)) || waiting >= 0)
		return;
	guests++;
	guest_init_side(&guest, &input, VHOST_USER_BIT(VIRTIO_F_VERSION_1) |
					VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | 1);
	guest.socket = waiting = kernel_open(KERNEL_STREAM);
	kernel_signal(listener);
}

static void put_message(uint8_t kind)
{
	struct rpmsg_header header = rpmsg_header_make(1, 1024, 0);
	const uint8_t *bytes;
	uint8_t message[0x100];
	size_t length = take_bytes(&input, &bytes, sizeof(message) - sizeof(header));

	header.len = rpmsg_gpio_store16((uint16_t)(kind & 8 ? take_u16(&input) : length));
	memcpy(message, &header, sizeof(header));
	if (length)
		memcpy(message + sizeof(header), bytes, length);
	guest_put_chain(RPMSG_VQ_TX, kind >> 4, message, (uint32_t)(sizeof(header) + length),
			kind & 4 ? 16 : 0, false);
	guest_kick(&guest, RPMSG_VQ_TX);
}

static void guest_step(uint8_t kind)
{
	const uint8_t *bytes;
	size_t length;

	switch (take_u8(&input) & 0xf) {
	case 0:
		set_up = 0;
		break;
	case 1:
		guest_say_anything(&guest, kind);
		break;
	case 2:
		guest_say_state_wrongly(&guest);
		break;
	case 3:
		length = take_bytes(&input, &bytes, 400);
		kernel_feed(guest.socket, bytes, length);
		break;
	case 4:
		if (kind == 0xff)
			kernel_hang_up(guest.socket);
		break;
	case 5:
	case 6:
		put_message(kind);
		break;
	case 7:
	case 8:
		guest_put_chain(RPMSG_VQ_RX, kind >> 4, NULL, 0, kind & 8 ? 512 : kind & 7, false);
		guest_kick(&guest, RPMSG_VQ_RX);
		break;
	case 9:
	case 10:
		guest_scribble(&guest);
		break;
	case 11:
		guest_kick(&guest, kind & 1);
		break;
	case 12:
		rpmsg_backend_stall(backend, kind & 1);
		break;
	case 13:
		hold = kind & 1;
		if (!hold)
			rpmsg_backend_resume(backend);
		break;
	case 14:
		rpmsg_backend_send(backend, 1024, 1, "event", 5);
		break;
	default:
		guest_start_queue(&guest, kind & 1, (kind >> 1) % 3);
		break;
	}
}

static void step(void *context)
{
	(void)context;
	connect_guest();
	if (take_end(&input) || guests > GUESTS_MAX) {
		loop_quit(loop);
		return;
	}
	if (set_up < GUEST_SET_UP)
		guest_set_up(&guest, set_up++);
	else
		guest_step(take_u8(&input));
}

static void idle(void *context)
{
	(void)context;
	rpmsg_backend_flush(backend);
}

static void *run_loop(void *unused)
{
	(void)unused;
	loop_run(loop, idle, NULL);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[200];

	kernel_reset();
	input = (struct input){data, data + size};
	guest_init_side(&guest, &input, 0);
	waiting = -1;
	guests = 0;
	hold = false;
	kernel_accepted = accepted;
	set_up = take_u8(&input) & 1 ? 0 : GUEST_SET_UP;
	loop = loop_new();
	backend = rpmsg_backend_open(loop, "/tmp/does-not-exist/fw.sock", &ops, NULL, why,
				     sizeof(why));
	if (!backend)
		kernel_broken("%s", why);
	listener = kernel_listener();
	kernel_thread(run_loop, NULL);
	kernel_run(step, NULL);
	rpmsg_backend_close(backend);
	loop_free(loop);
	if (waiting >= 0)
		kernel_close(waiting);
	kernel_check();
	return 0;
}
