/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An adapter and whoever is at the other end of USB/IP: packets that are right, nearly right and
 * anything, lines that come and go, edges of an honest firmware. Each message that the adapter
 * took has one answer, within the kernel's patience.
 */
#include <endian.h>

#include "firmware_link.h"
#include "usb/adapter.h"
#include "usb/usbip.h"

#define PINS    6u
#define SEQNUMS 4096u

enum owed { NOTHING, MESSAGE, BYTES };

static struct bed bed;
static struct gb_adapter *adapter;
static int usb, helper;
static uint32_t attached, seqnum;
static uint8_t owed[SEQNUMS]; /* by sequence number: what its answer has */
static uint64_t read_ns[SEQNUMS]; /* when the adapter got it */
static uint32_t victims[SEQNUMS]; /* of those that unlink another one */
static bool spoilt; /* what was fed is no row of whole packets any more */
static bool settling; /* nothing more is asked, and the clock does not jump */

/* ---- what comes back -------------------------------------------------------------------- */

static void take_answers(int fd, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	if (fd != usb)
		return;
	while (length) {
		uint32_t words[12], answered, size;

		if (length < sizeof(words))
			kernel_broken("half a packet");
		memcpy(words, bytes, sizeof(words));
		answered = be32toh(words[1]) % SEQNUMS;
		size = be32toh(words[0]) == 3 && owed[answered] == BYTES ? be32toh(words[6]) : 0;
		if (!spoilt && owed[answered] == NOTHING)
			kernel_broken("an answer to nothing");
		if (!spoilt && owed[answered] == MESSAGE && settling &&
		    kernel_now() - read_ns[answered] > USBIP_PATIENCE_NS + 2 * BED_MS)
			kernel_broken("an answer after the kernel gave up");
		if (spoilt)
			return;
		owed[answered] = NOTHING;
		if (be32toh(words[0]) == 4 && words[5])
			owed[victims[answered]] = NOTHING; /* it has no answer of its own */
		if (length < sizeof(words) + size)
			kernel_broken("half an answer");
		bytes += sizeof(words) + size;
		length -= sizeof(words) + size;
	}
}

/* ---- what the peer does -------------------------------------------------------------------- */

static void plug(void)
{
	if (usb >= 0 && kernel_is_open(usb))
		return;
	usb = kernel_open(KERNEL_STREAM);
	helper = kernel_open(KERNEL_PACKETS);
	spoilt = false;
	memset(owed, NOTHING, sizeof(owed));
	if (gb_adapter_plug(adapter, usb, helper))
		usb = helper = -1;
}

static void feed(const uint32_t *words, const uint8_t *setup, const void *bytes, size_t length)
{
	uint8_t packet[48 + 600] = {0};

	for (unsigned int i = 0; i < 10; i++) {
		uint32_t word = htobe32(words[i]);

		memcpy(packet + 4 * i, &word, 4);
	}
	if (setup)
		memcpy(packet + 40, setup, 8);
	if (length)
		memcpy(packet + 48, bytes, length);
	if (usb >= 0 && kernel_is_open(usb))
		kernel_feed(usb, packet, 48 + length);
}

static uint32_t next_seqnum(enum owed what)
{
	/* One that waits for long keeps its number. */
	do
		seqnum = (seqnum + 1) % SEQNUMS;
	while (owed[seqnum] != NOTHING);
	owed[seqnum] = (uint8_t)what;
	return seqnum;
}

static void ask(void)
{
	static const uint8_t commands[] = {0x01, 0x04, 0x0b, 0x0c, 0x0d, 0x10, 0x11, 0x13, 0x14,
					   0x1e, 0x30, 0x31};
	uint8_t message[13] = {11, 0, 0, 1, take_u8(&bed.input), 0, 2, 0};
	uint32_t words[10] = {1, 0, 1, 0, 1, 0, 11};

	message[2] = commands[take_u8(&bed.input) % sizeof(commands)];
	message[3] = message[2] >= 0x30 ? 0 : 1;
	message[8] = take_u8(&bed.input) % (PINS + 1);
	message[10] = take_u8(&bed.input) & 3;
	words[1] = next_seqnum(MESSAGE);
	feed(words, NULL, message, 11);
}

static void want(unsigned int count)
{
	while (count--) {
		uint32_t words[10] = {1, 0, 1, 1, 1, 0, 512};

		words[1] = next_seqnum(BYTES);
		feed(words, NULL, NULL, 0);
	}
}

static void control(uint8_t kind)
{
	uint8_t setup[8] = {0x80, take_u8(&bed.input) & 15, take_u8(&bed.input) & 7, kind & 7, 0, 0,
			    kind};
	uint32_t words[10] = {1, 0, 1, kind >> 7, 0, 0, kind & 0x7f};

	words[1] = next_seqnum(kind >> 7 ? BYTES : MESSAGE);
	if (!(kind >> 7))
		words[6] = 0;
	feed(words, setup, NULL, 0);
}

static void unlink_one(uint8_t kind)
{
	uint32_t words[10] = {2, 0, 1, 0, 0, (seqnum - kind) % SEQNUMS};

	words[1] = next_seqnum(MESSAGE);
	victims[words[1]] = words[5];
	feed(words, NULL, NULL, 0);
}

/* A packet that is nearly right, or anything. */
static void say_anything(uint8_t kind)
{
	uint32_t words[10] = {take_u8(&bed.input), 1, 1, kind & 1, kind >> 1 & 3, 0, kind};
	const uint8_t *bytes;
	size_t length = take_bytes(&bed.input, &bytes, 500);

	spoilt = true;
	if (usb < 0 || !kernel_is_open(usb))
		return;
	if (kind & 0x80)
		kernel_feed(usb, bytes, length);
	else
		feed(words, NULL, bytes, length);
}

static void attach(uint32_t line)
{
	if (attached & 1u << line) {
		gb_adapter_detach(adapter, line);
		attached &= ~(1u << line);
	} else if (bed.controller &&
		   gb_adapter_attach(adapter, line, bed.controller, (uint16_t)line) == 0) {
		attached |= 1u << line;
	}
}

static void look(void)
{
	struct gb_adapter_status status;

	gb_adapter_status(adapter, &status);
	while (gb_adapter_changed(adapter, 0) >= 0)
		continue;
	gb_adapter_direction(adapter, 0);
}

static void one_step(uint8_t kind)
{
	uint8_t more = take_u8(&bed.input);

	switch (kind & 0xf) {
	case 0:
	case 1:
	case 2:
	case 3:
		ask();
		break;
	case 4:
	case 5:
		want(more % 18);
		break;
	case 6:
		control(more);
		break;
	case 7:
		unlink_one(more & 15);
		break;
	case 8:
		say_anything(more);
		break;
	case 9:
		attach(more % PINS);
		break;
	case 10:
	case 11:
		link_edge(&bed, more % BED_LINES);
		break;
	case 12:
		kernel_advance(BED_MS << (more & 7));
		break;
	case 13:
		if (the_link)
			the_link->honest = more & 1;
		break;
	case 14:
		if (more >= 0xf0 && usb >= 0 && kernel_is_open(usb))
			kernel_hang_up(usb);
		else if (more >= 0xe0 && helper >= 0 && kernel_is_open(helper))
			kernel_hang_up(helper);
		else if (more >= 0xd8)
			gb_adapter_unplug(adapter);
		else
			look();
		break;
	default:
		plug();
		break;
	}
}

/* The adapter gets what a step has asked for when that is over, however the clock jumped in it. */
static void note_read(uint32_t last)
{
	while (last != seqnum) {
		last = (last + 1) % SEQNUMS;
		read_ns[last] = kernel_now();
	}
}

static void step(void *context)
{
	uint32_t before = seqnum;
	bool more = true;
	static unsigned int turns;

	(void)context;
	bed_reports(&bed);
	settling = take_end(&bed.input);
	if (!settling) {
		turns = 0;
		while (more && !take_end(&bed.input)) {
			uint8_t kind = take_u8(&bed.input);

			one_step(kind);
			more = kind & 0x80;
		}
		note_read(before);
	} else if (turns++ < 400) {
		kernel_advance(BED_MS); /* the last deadlines pass */
	} else {
		bed.pump->stopping = true;
	}
	bed_reports(&bed);
}

static void check_answers(void)
{
	if (usb < 0 || !kernel_is_open(usb) || spoilt)
		return;
	for (uint32_t i = 0; i < SEQNUMS; i++)
		if (owed[i] == MESSAGE)
			kernel_broken("a message without an answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct gb_adapter_config config = {
		.lines = PINS, .kept = 2, .product = "fuzz", .serial = "0", .timeout_ms = 1000,
	};

	kernel_reset();
	bed_open(&bed, data, size);
	usb = helper = -1;
	attached = seqnum = 0;
	kernel_written = take_answers;
	bed_attach(&bed, &link_new(true, RPMSG_GPIO_FEATURES)->base, RPMSG_GPIO_FEATURES);
	adapter = gb_adapter_open(bed.pump, 3, &config);
	if (!adapter)
		kernel_broken("no adapter");
	for (uint32_t i = 0; i < PINS; i++)
		attach(i);
	plug();
	kernel_run(step, NULL);
	check_answers();
	gb_adapter_close(adapter);
	bed_close(&bed);
	kernel_written = NULL;
	return 0;
}
