/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An export and its guest: vhost-user messages of a hostile VMM, the virtio-gpio rings of a
 * hostile guest, lines that come and go, edges of an honest firmware.
 */
#include "firmware_link.h"
#include "hostile_guest.h"
#include "export/export.h"

#define EXPORTED 6u

static struct bed bed;
static struct hostile_guest guest;
static struct gb_export *exported;
static unsigned int set_up, guests;
static int listener, waiting;
static uint32_t attached;

static int accepted(void)
{
	int fd = waiting;

	waiting = -1;
	return fd;
}

static void connect_guest(void)
{
	if (waiting >= 0 || (guest.socket >= 0 && kernel_is_open(guest.socket)))
		return;
	guests++;
	guest_init_side(&guest, &bed.input,
			VHOST_USER_BIT(VIRTIO_F_VERSION_1) | VHOST_USER_BIT(VIRTIO_F_INDIRECT_DESC) |
			VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | 1);
	guest.socket = waiting = kernel_open(KERNEL_STREAM);
	kernel_signal(listener);
}

static void attach(uint32_t line)
{
	if (attached & 1u << line) {
		gb_export_detach(exported, line);
		attached &= ~(1u << line);
	} else if (gb_export_attach(exported, line, bed.controller, (uint16_t)line) == 0) {
		attached |= 1u << line;
	}
}

static void put_request(uint8_t kind)
{
	struct virtio_gpio_request request = {
		.type = rpmsg_gpio_store16(kind & 7),
		.gpio = rpmsg_gpio_store16(take_u8(&bed.input) % (EXPORTED + 1)),
		.value = rpmsg_gpio_store32(take_u8(&bed.input)),
	};

	guest_put_chain(0, kind >> 4, &request, sizeof(request), (kind & 7) == 1 ? 32 : 2,
			kind & 8);
	guest_kick(&guest, 0);
}

static void put_buffer(uint8_t kind)
{
	rpmsg_gpio_le16 gpio = rpmsg_gpio_store16((uint16_t)((kind & 7) % (EXPORTED + 1)));

	guest_put_chain(1, kind >> 4, &gpio, sizeof(gpio), 1, kind & 8);
	guest_kick(&guest, 1);
}

static void look_at_export(void)
{
	struct gb_export_status status;
	struct gb_export_line line;

	gb_export_status(exported, &status);
	while (gb_export_changed(exported, 0) >= 0)
		continue;
	gb_export_line(exported, 0, &line);
}

static void guest_step(uint8_t kind)
{
	const uint8_t *bytes;
	size_t length;

	switch (take_u8(&bed.input) & 0xf) {
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
		length = take_bytes(&bed.input, &bytes, 400);
		kernel_feed(guest.socket, bytes, length);
		break;
	case 4:
		if (kind >= 0xf0)
			kernel_hang_up(guest.socket);
		else
			look_at_export();
		break;
	case 5:
	case 6:
		put_request(kind);
		break;
	case 7:
	case 8:
		put_buffer(kind);
		break;
	case 9:
	case 10:
		guest_scribble(&guest);
		break;
	case 11:
		guest_kick(&guest, kind & 1);
		break;
	case 12:
		attach(kind % EXPORTED);
		break;
	case 13:
		kernel_advance(BED_MS << (kind & 0xf));
		break;
	case 14:
		link_edge(&bed, kind % BED_LINES);
		break;
	default:
		if (kind & 8)
			the_link->honest = kind & 16;
		else
			guest_start_queue(&guest, kind & 1, (kind >> 1) % 3);
		break;
	}
	bed_reports(&bed);
}

static void step(void *context)
{
	(void)context;
	connect_guest();
	if (take_end(&bed.input) || guests > GUESTS_MAX) {
		bed.pump->stopping = true;
		return;
	}
	if (set_up < GUEST_SET_UP)
		guest_set_up(&guest, set_up++);
	else
		guest_step(take_u8(&bed.input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char names[] = "A\0B\0\0D\0\0F";
	struct gb_export_config config = {
		.state_fd = -1, .kept_fd = -1, .lines = EXPORTED, .names = names,
		.names_size = sizeof(names), .timeout_ms = 1000,
	};
	uint32_t features;
	uint8_t kind;

	kernel_reset();
	bed_open(&bed, data, size);
	guest_init_side(&guest, &bed.input, 0);
	waiting = -1;
	guests = attached = 0;
	kernel_accepted = accepted;
	kind = take_u8(&bed.input);
	set_up = kind & 1 ? 0 : GUEST_SET_UP;
	features = kind & 2 ? RPMSG_GPIO_FEATURES : kind & 4 ? RPMSG_GPIO_F_TAG : 0;
	bed_attach(&bed, &link_new(true, features)->base, features);
	listener = kernel_open(KERNEL_STREAM);
	kernel_listen_on(listener);
	config.listen_fd = listener;
	exported = gb_export_open(bed.pump, 3, &config);
	for (uint32_t line = 0; kind & 8 && line < EXPORTED; line++)
		attach(line);
	gb_export_listen(exported);
	kernel_run(step, NULL);
	gb_export_close(exported);
	if (waiting >= 0)
		kernel_close(waiting);
	bed_close(&bed);
	return 0;
}
