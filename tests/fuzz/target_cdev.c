/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A chip and two of its lines behind descriptors of the GPIO character device (docs/cdev.md):
 * a program that offers anything as a channel, asks anything, reads late or never, and lets go
 * at any moment; the service's Python, which answers or closes when the input says so.
 *
 * In the end the service goes on until each question has an answer or its channel was hung up.
 */
#include <errno.h>
#include <linux/gpio.h>
#include <string.h>
#include <sys/socket.h>

#include "firmware_link.h"
#include "cdev/cdev.h"
#include "cdev/descriptor.h"

#define LINES       2
#define DESCRIPTORS (1 + LINES) /* the first is the chip */
#define ENDS        5 /* of channels, that a program holds */
#define DRAIN_MAX   5000u
/* So many that have no answer fit the queue of a descriptor. */
#define QUESTIONS_MAX 12u

ssize_t kernel_read(int fd, void *to, size_t size);
ssize_t kernel_recv(int fd, void *to, size_t size, int flags);
int kernel_socketpair(int domain, int type, int protocol, int ends[2]);

struct end {
	int fd; /* -1: none */
	uint32_t asked, answered; /* sequences are counted */
	uint32_t sizes[QUESTIONS_MAX + 1]; /* of arguments, by sequence */
};

struct descriptor {
	int fd; /* the program's, or -1 */
	uint32_t record_size;
	bool spoilt; /* part of an offer is on it */
	struct end ends[ENDS];
	/* The service's side. */
	struct gb_request *line;
	bool gone; /* so it was told */
	bool asking; /* Python */
	uint32_t sequence, size;
};

static struct bed bed;
static struct gb_cdev_chip *chip;
static struct descriptor descriptors[DESCRIPTORS];
static uint8_t next_record;
static unsigned int drained;

static const uint32_t commands[] = {
	GB_IOCTL_CLOSED, GPIO_GET_CHIPINFO_IOCTL, GPIO_V2_GET_LINEINFO_IOCTL,
	GPIO_V2_GET_LINE_IOCTL, GPIO_V2_LINE_GET_VALUES_IOCTL, GPIO_V2_LINE_SET_VALUES_IOCTL,
	GPIO_V2_LINE_SET_CONFIG_IOCTL, GPIOHANDLE_GET_LINE_VALUES_IOCTL,
	GPIOHANDLE_SET_LINE_VALUES_IOCTL, GPIOHANDLE_SET_CONFIG_IOCTL,
};

/* ---- the service ---------------------------------------------------------- */

static void reports(void)
{
	struct gb_report report;

	while (gb_pump_next_report(bed.pump, &report)) {
		struct descriptor *d = &descriptors[report.id % 10 % DESCRIPTORS];

		if (report.length > GB_REPORT_BODY_MAX)
			kernel_broken("a report of %u bytes", report.length);
		if (report.kind == GB_REPORT_REPLY && ++bed.answered > bed.calls)
			kernel_broken("more answers than calls");
		if (report.kind == GB_REPORT_LINK_DOWN)
			bed.down = true;
		if (report.id < 10)
			continue;
		if (report.kind == GB_REPORT_HANGUP)
			d->gone = true;
		if (report.kind == GB_REPORT_OPERATION) {
			if (d->asking)
				kernel_broken("a question before the last one was answered");
			d->asking = true;
			d->sequence = report.sequence;
			d->size = report.length;
		}
	}
}

static void open_chip(uint8_t kind)
{
	struct descriptor *d = &descriptors[0];

	if (chip || d->fd >= 0)
		return;
	d->spoilt = false;
	chip = gb_cdev_open_chip(bed.pump, 10, &d->fd);
	if (!chip) {
		d->fd = -1;
		return;
	}
	d->gone = d->asking = false;
	d->record_size = kind & 1 ? sizeof(struct gpio_v2_line_info_changed)
				  : sizeof(struct gpioline_info_changed);
}

static void close_line(struct descriptor *d)
{
	if (d->line)
		gb_request_close(d->line);
	d->line = NULL;
	d->asking = false;
}

static void open_line(unsigned int n, uint8_t kind)
{
	static const uint32_t sizes[] = {48, 0, 16, 12};
	struct descriptor *d = &descriptors[n];
	int form = kind & 3;
	struct gb_line_plan plan = {
		.controller = bed.controller, .gpio = (uint16_t)n, .offset = 100 + n,
		.flags = GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING, .irq_type = 3,
	};

	if (!bed.controller || bed.down || d->line || d->fd >= 0)
		return;
	if (form == GB_LINE_HANDLE || (form == GB_LINE_V2 && kind & 4)) {
		plan.flags = GB_LINE_OUTPUT;
		plan.irq_type = 0;
	}
	d->spoilt = false;
	d->record_size = sizes[form];
	d->line = gb_cdev_open_line(bed.pump, 10 + n, &plan, 1, kind & 8 ? 16 : 2, 1000, form,
				    &d->fd);
	d->gone = d->asking = false;
}

static void answer(unsigned int n, uint8_t kind)
{
	struct descriptor *d = &descriptors[n];
	uint8_t argument[GB_REPORT_BODY_MAX] = {0};
	int error = kind & 1 ? EBUSY : 0;

	if (!d->asking)
		return;
	d->asking = false;
	if (d->line)
		gb_request_answer(d->line, d->sequence, error, 0, "busy", error ? 4 : 0);
	else if (!n && chip)
		gb_cdev_answer_chip(chip, error, error || kind & 2 ? NULL : argument,
				    kind & 4 ? kernel_open(KERNEL_EVENTFD) : -1);
}

static void let_go(unsigned int n)
{
	if (n)
		close_line(&descriptors[n]);
	else if (chip)
		gb_cdev_close_chip(chip);
	if (!n) {
		chip = NULL;
		descriptors[0].asking = false;
	}
}

/* Each record is full of one byte. */
static void push_changes(uint8_t count)
{
	uint8_t record[sizeof(struct gpio_v2_line_info_changed)];

	for (; chip && count; count--) {
		memset(record, ++next_record, sizeof(record));
		gb_cdev_push_chip(chip, record, descriptors[0].record_size);
	}
}

/* ---- the program ---------------------------------------------------------- */

static int service_end(const struct descriptor *d)
{
	return d->fd >= 0 ? kernel_peer(d->fd) : -1;
}

static void offer(struct descriptor *d, struct end *end, uint8_t kind)
{
	struct gb_channel_offer message = {.magic = GB_CHANNEL_MAGIC, .version = 1,
					   .form = kind >> 4 & 1};
	int ends[2], fd;

	if (end->fd >= 0 || service_end(d) < 0 ||
	    kernel_socketpair(AF_UNIX, kind & 0x20 && kind & 1 ? SOCK_STREAM : SOCK_SEQPACKET, 0,
			      ends))
		return;
	end->fd = ends[0];
	end->asked = end->answered = 0;
	fd = ends[1];
	if ((kind & 0xf) == 0xf) { /* one that is not right */
		((uint8_t *)&message)[take_u8(&bed.input) % sizeof(message)] ^= kind;
	} else if ((kind & 0xf) == 0xe) {
		kernel_close(fd);
		fd = kernel_open(kind & 0x10 ? KERNEL_MEMFD : KERNEL_EVENTFD);
	}
	kernel_feed_fds(service_end(d), &fd, (kind & 0xf) == 0xd ? 0 : 1);
	if ((kind & 0xf) == 0xd)
		kernel_close(fd);
	d->spoilt |= kind == 0xc;
	kernel_feed(service_end(d), &message, GB_CHANNEL_OFFER_SIZE - (kind == 0xc));
}

/* `command` of a size that fits, or one byte less or more. */
static void ask(struct end *end, uint32_t command, uint8_t kind)
{
	uint8_t packet[8 + GB_IOCTL_SIZE_MAX + 8] = {0};
	uint32_t size = _IOC_SIZE(command) + (kind >> 6 == 3) - (kind >> 6 == 2 && command);
	int peer = end->fd >= 0 ? kernel_peer(end->fd) : -1;
	const uint8_t *bytes;
	size_t length;

	if (peer < 0 || end->asked - end->answered >= QUESTIONS_MAX)
		return;
	end->asked++;
	end->sizes[end->asked % (QUESTIONS_MAX + 1)] = size;
	memcpy(packet, &command, 4);
	memcpy(packet + 4, &end->asked, 4);
	length = take_bytes(&bed.input, &bytes, size);
	if (length)
		memcpy(packet + 8, bytes, length);
	kernel_feed(peer, packet, 8 + size);
}

static void say_anything(struct end *end)
{
	int peer = end->fd >= 0 ? kernel_peer(end->fd) : -1;
	const uint8_t *bytes;
	size_t length = take_bytes(&bed.input, &bytes, 640);

	/* No number of a question, so that an answer to it would be noticed. */
	if (peer >= 0 && (length < 8 || length > 8 + GB_IOCTL_SIZE_MAX))
		kernel_feed(peer, bytes, length);
}

static void read_answers(struct end *end)
{
	struct {
		struct gb_ioctl_reply head;
		uint8_t argument[GB_IOCTL_SIZE_MAX + 1];
	} reply;
	ssize_t got;

	while (end->fd >= 0 && (got = kernel_recv(end->fd, &reply, sizeof(reply), 0)) > 0) {
		if (got < (ssize_t)sizeof(reply.head) || reply.head.error < 0)
			kernel_broken("an answer of %zd bytes, error %d", got, reply.head.error);
		if (reply.head.sequence != ++end->answered || end->answered > end->asked)
			kernel_broken("answer %u to question %u of %u", reply.head.sequence,
				      end->answered, end->asked);
		if (got != (ssize_t)sizeof(reply.head) &&
		    (reply.head.error ||
		     got - sizeof(reply.head) != end->sizes[end->answered % (QUESTIONS_MAX + 1)]))
			kernel_broken("an answer of %zd bytes", got);
	}
}

static void hang_up(struct end *end)
{
	if (end->fd >= 0)
		kernel_close(end->fd);
	end->fd = -1;
}

static void read_records(unsigned int n, uint32_t count)
{
	struct descriptor *d = &descriptors[n];
	uint8_t records[48 * 170];
	uint32_t size = d->record_size, room = size ? (uint32_t)sizeof(records) / size : 0;
	ssize_t got;

	if (d->fd < 0 || !room)
		return;
	got = kernel_read(d->fd, records, (size_t)size * (count < room ? count : room));
	if (got > 0 && got % size)
		kernel_broken("%zd bytes of records of %u", got, size);
	for (ssize_t at = 0; !n && at < got; at++)
		if (records[at] != records[at - at % size])
			kernel_broken("a record that is made of two");
}

static void say_no_offer(struct descriptor *d, size_t length)
{
	d->spoilt |= length != 0;
	if (length && service_end(d) >= 0)
		kernel_feed(service_end(d), "no offer of a channel", length);
}

static void program_gone(struct descriptor *d)
{
	if (d->fd >= 0)
		kernel_close(d->fd);
	d->fd = -1;
}

/* ---- steps ---------------------------------------------------------------- */

static void move_firmware(uint8_t kind)
{
	if (!the_link)
		return;
	if (kind & 0x80) {
		link_edge(&bed, kind % BED_LINES);
	} else if (kind & 0x40) {
		the_link->honest = kind & 1;
		the_link->broken = (kind & 0x3e) == 0x3e;
	} else {
		gb_lock(bed.pump);
		the_link->full = kind & 1;
		if (!the_link->full && !the_link->base.dead)
			gb_link_writable(&the_link->base);
		gb_unlock(bed.pump);
	}
}

static void one_step(uint8_t kind)
{
	unsigned int n = (kind >> 4 & 3) % DESCRIPTORS;
	struct descriptor *d = &descriptors[n];
	uint8_t more = take_u8(&bed.input);
	struct end *end = &d->ends[more % ENDS];

	switch (kind & 0xf) {
	case 0:
	case 1:
		offer(d, end, take_u8(&bed.input));
		break;
	case 2:
	case 3:
	case 4:
		ask(end, commands[take_u8(&bed.input) % (sizeof(commands) / 4)], more);
		break;
	case 5:
		say_anything(end);
		break;
	case 6:
		hang_up(end);
		break;
	case 7:
		read_answers(end);
		break;
	case 8:
		read_records(n, more);
		break;
	case 9:
		if (more >= 0xc0)
			program_gone(d);
		else
			kernel_advance(BED_MS << (more & 0xf));
		break;
	case 10:
	case 11:
		answer(n, more);
		break;
	case 12:
		push_changes(more % 80);
		break;
	case 13:
		move_firmware(more);
		break;
	case 14:
		if (n)
			open_line(n, more);
		else
			open_chip(more);
		break;
	default:
		if (d->gone || more >= 0xc0)
			let_go(n);
		else if (more >= 0xb0)
			say_no_offer(d, more & 0xf);
		break;
	}
}

/* Whether a question waits for its answer. */
static bool owes(void)
{
	for (unsigned int i = 0; i < DESCRIPTORS * ENDS; i++) {
		const struct end *end = &descriptors[i / ENDS].ends[i % ENDS];

		if (end->fd >= 0 && end->asked != end->answered && kernel_peer(end->fd) >= 0)
			return true;
	}
	return false;
}

/* The service answers, closes what was let go, and time passes. The program reads, and makes
 * room for a channel that waits by hanging up those on which it has all. */
static void drain(void)
{
	for (unsigned int n = 0; n < DESCRIPTORS; n++) {
		if (descriptors[n].spoilt)
			program_gone(&descriptors[n]);
		if (descriptors[n].gone)
			let_go(n);
		answer(n, 0);
		for (unsigned int i = 0; i < ENDS; i++) {
			struct end *end = &descriptors[n].ends[i];

			read_answers(end);
			if (end->asked == end->answered)
				hang_up(end);
		}
	}
	kernel_advance(2000 * BED_MS);
	if (++drained > DRAIN_MAX)
		kernel_broken("a question has no answer");
}

/* Some steps come together, before the service looks. */
static void step(void *context)
{
	bool more = true;

	(void)context;
	reports();
	if (!take_end(&bed.input)) {
		while (more && !take_end(&bed.input)) {
			uint8_t kind = take_u8(&bed.input);

			one_step(kind);
			more = kind & 0x80;
		}
	} else if (owes()) {
		drain();
	} else {
		bed.pump->stopping = true;
	}
	reports();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t kind;

	kernel_reset();
	bed_open(&bed, data, size);
	memset(descriptors, 0, sizeof(descriptors));
	for (unsigned int i = 0; i < DESCRIPTORS; i++) {
		descriptors[i].fd = -1;
		for (unsigned int e = 0; e < ENDS; e++)
			descriptors[i].ends[e].fd = -1;
	}
	chip = NULL;
	next_record = 0;
	drained = 0;
	kind = take_u8(&bed.input);
	bed_attach(&bed, &link_new(kind & 1, RPMSG_GPIO_FEATURES)->base, RPMSG_GPIO_FEATURES);
	open_chip(kind >> 1);
	open_line(1, kind >> 2 & 3);
	open_line(2, kind >> 4);
	kernel_run(step, NULL);
	for (unsigned int n = 0; n < DESCRIPTORS; n++) {
		let_go(n);
		program_gone(&descriptors[n]);
		for (unsigned int e = 0; e < ENDS; e++)
			hang_up(&descriptors[n].ends[e]);
	}
	bed_close(&bed);
	return 0;
}
