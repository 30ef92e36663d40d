/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pump_bed.h - a pump whose calls, line requests and clients a target moves: what
 * targets of the Linux side have in common. The link is the target's.
 */
#ifndef PUMP_BED_H
#define PUMP_BED_H

#include "fuzz.h"
#include "kernel.h"
#include "pump/event_ring.h"
#include "pump/operation.h"
#include "pump/request.h"
#include "rpmsg_gpio_config.h"

#define BED_REQUESTS 3
#define BED_CALLS    256
#define BED_SOURCE   1024u
#define BED_ADDRESS  0u
#define BED_LINES    8u
#define BED_EPOCH    0xabcd1234u
#define BED_MS       UINT64_C(1000000)

struct bed_request {
	struct gb_request *request;
	struct gb_request_fds fds;
	uint32_t sequence; /* of an operation that was reported */
	bool reported;
};

struct bed {
	struct input input;
	struct gb_pump *pump;
	struct gb_link *link;
	struct gb_controller *controller;
	struct bed_request requests[BED_REQUESTS];
	uint64_t calls, answered; /* cookies are counted */
	bool down;
};

/* What Python does with reports. */
static inline void bed_reports(struct bed *bed)
{
	struct gb_report report;

	while (gb_pump_next_report(bed->pump, &report)) {
		struct bed_request *r = &bed->requests[report.id % 10 % BED_REQUESTS];

		if (report.length > GB_REPORT_BODY_MAX)
			kernel_broken("a report of %u bytes", report.length);
		if (report.kind == GB_REPORT_REPLY && ++bed->answered > bed->calls)
			kernel_broken("more answers than calls");
		if (report.kind == GB_REPORT_LINK_DOWN)
			bed->down = true;
		if (report.kind == GB_REPORT_OPERATION && report.id >= 10) {
			r->sequence = report.sequence;
			r->reported = true;
		}
	}
}

/* The target is the client: it has its own copy of each end. */
static inline void bed_client_gone(struct bed_request *r)
{
	int fds[] = {r->fds.operation, r->fds.event, r->fds.ring};

	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			kernel_close(fds[i]);
	r->fds = (struct gb_request_fds){-1, -1, -1};
}

static inline void bed_end_request(struct bed_request *r)
{
	if (!r->request)
		return;
	gb_request_close(r->request);
	r->request = NULL;
	r->reported = false;
	bed_client_gone(r);
}

static inline void bed_begin_request(struct bed *bed, unsigned int n, uint8_t kind)
{
	struct bed_request *r = &bed->requests[n];
	struct gb_line_plan plans[3] = {{0}};
	size_t count = 1 + (kind & 1);

	bed_end_request(r);
	if (!bed->controller || bed->down)
		return;
	for (size_t i = 0; i < count; i++) {
		plans[i].controller = bed->controller;
		plans[i].gpio = (uint16_t)(n * 2 + i);
		plans[i].offset = 100 + plans[i].gpio;
		plans[i].flags = kind & 2 ? GB_LINE_OUTPUT
					  : (GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING);
		plans[i].flags |= kind & 4 ? GB_LINE_ACTIVE_LOW : 0;
		plans[i].flags |= kind & 8 ? GB_LINE_SOURCE_CLOCK : 0;
		plans[i].flags |= kind & 2 && kind & 16 ? GB_LINE_OPEN_DRAIN : 0;
		plans[i].irq_type = kind & 2 ? 0 : kind & 32 ? 4 : 3;
		plans[i].debounce_us = !(kind & 2) && kind & 64 ? 3000 : 0;
	}
	r->request = gb_request_open(bed->pump, 10 + n, plans, count, kind & 128 ? 16 : 2, 1000,
				     &r->fds);
	if (!r->request)
		r->fds = (struct gb_request_fds){-1, -1, -1};
}

/* A client's packet: its own, or one that is right but for its numbers. */
static inline void bed_operation(struct bed *bed, struct bed_request *r, uint8_t kind)
{
	uint8_t packet[sizeof(struct gb_operation) + GB_OPERATION_BODY_MAX + 8] = {0};
	struct gb_operation operation = {0};
	const uint8_t *bytes;
	size_t length;

	if (kind & 1) {
		length = take_bytes(&bed->input, &bytes, sizeof(packet));
		if (length)
			memcpy(packet, bytes, length);
	} else {
		static const uint8_t codes[] = {GB_OPERATION_GET, GB_OPERATION_SET,
						GB_OPERATION_RELEASE, GB_OPERATION_RECONFIGURE};

		operation.code = codes[kind >> 1 & 3];
		operation.sequence = take_u8(&bed->input);
		operation.mask = take_u8(&bed->input);
		operation.bits = take_u8(&bed->input);
		memcpy(packet, &operation, sizeof(operation));
		length = sizeof(operation);
	}
	if (r->fds.operation >= 0 && kernel_peer(r->fds.operation) >= 0)
		kernel_feed(kernel_peer(r->fds.operation), packet, length);
}

static inline void bed_call(struct bed *bed)
{
	uint8_t type = take_u8(&bed->input), gpio = take_u8(&bed->input), body[16] = {0};
	uint16_t full = (uint16_t)((type & 0x7f) | (type & 0x80) << 8);
	int error;

	if (!bed->controller)
		return;
	if (full == RPMSG_GPIO_MSG_GET_VALUES || full == RPMSG_GPIO_MSG_SET_VALUES ||
	    full == RPMSG_GPIO_MSG_SET_LINE_CONFIG) {
		memset(body, take_u8(&bed->input), sizeof(body));
		error = gb_controller_call_body(bed->controller, full, gpio % BED_LINES, 0, body,
						full == RPMSG_GPIO_MSG_SET_VALUES ? 16 : 8, 1000,
						1);
	} else {
		error = gb_controller_call(bed->controller, full, gpio % BED_LINES,
					   take_u8(&bed->input), (int)(gpio >> 6) % 3, 1000, 1);
	}
	if (!error)
		bed->calls++;
}

/* The client empties its ring, or lies in it. */
static inline void bed_read_ring(struct bed_request *r, uint8_t kind)
{
	(void)kind;
	if (r->request && r->fds.operation >= 0)
		gb_request_alive(r->request);
}

/* One step of the service and its clients. */
static inline void bed_step(struct bed *bed, uint8_t kind)
{
	struct bed_request *r = &bed->requests[(kind >> 4) % BED_REQUESTS];

	switch (kind & 0xf) {
	case 0:
	case 1:
		bed_call(bed);
		break;
	case 2:
	case 3:
	case 4:
		bed_operation(bed, r, take_u8(&bed->input));
		break;
	case 5:
		bed_begin_request(bed, (kind >> 4) % BED_REQUESTS, take_u8(&bed->input));
		break;
	case 6:
		bed_end_request(r);
		break;
	case 7:
		if (r->request)
			bed_client_gone(r);
		break;
	case 8:
		kernel_advance(BED_MS << (kind >> 4));
		break;
	case 9:
		kernel_advance(10000u << (kind >> 4));
		break;
	case 10:
		if (r->request && r->reported)
			gb_request_answer(r->request, r->sequence, 0, 0, "abcdefgh", kind >> 5);
		r->reported = false;
		break;
	case 11:
		if (bed->controller)
			gb_controller_accept(bed->controller, take_u8(&bed->input), BED_EPOCH);
		break;
	case 12:
		if (bed->controller)
			gb_controller_mute(bed->controller, kind >> 4 & 1);
		break;
	case 13:
		if (r->request)
			gb_request_settle(r->request, kind >> 6, kind >> 5 & 1);
		break;
	case 14:
		if (bed->controller && kind >= 0xe0) {
			gb_controller_close(bed->controller);
			bed->controller = gb_controller_open(bed->link, 2, BED_SOURCE, BED_ADDRESS);
		}
		break;
	default:
		bed_read_ring(r, kind);
		break;
	}
	bed_reports(bed);
}

/* One turn: the firmware does something, or the service and its clients do. */
static inline void bed_turn(struct bed *bed, void (*firmware_step)(uint8_t kind))
{
	uint8_t kind;

	if (take_end(&bed->input)) {
		bed->pump->stopping = true;
		return;
	}
	kind = take_u8(&bed->input);
	if (kind & 1)
		firmware_step(take_u8(&bed->input));
	else
		bed_step(bed, kind >> 1 | (take_u8(&bed->input) & 0x80));
}

static inline void bed_open(struct bed *bed, const uint8_t *data, size_t size)
{
	memset(bed, 0, sizeof(*bed));
	bed->input = (struct input){data, data + size};
	for (int i = 0; i < BED_REQUESTS; i++)
		bed->requests[i].fds = (struct gb_request_fds){-1, -1, -1};
	bed->pump = gb_pump_new();
	if (!bed->pump)
		kernel_broken("no pump");
}

/* The link is the pump's from here on. */
static inline void bed_attach(struct bed *bed, struct gb_link *link, uint32_t features)
{
	bed->link = link;
	if (gb_pump_add_link(bed->pump, link, 1))
		kernel_broken("the link was not taken");
	bed->controller = gb_controller_open(link, 2, BED_SOURCE, BED_ADDRESS);
	if (bed->controller)
		gb_controller_accept(bed->controller, features, BED_EPOCH);
}

/* Every call that was taken must have ended: nothing hangs. */
static inline void bed_close(struct bed *bed)
{
	for (int i = 0; i < BED_REQUESTS; i++)
		bed_end_request(&bed->requests[i]);
	if (bed->controller)
		gb_controller_close(bed->controller);
	bed_reports(bed);
	if (bed->answered != bed->calls)
		kernel_broken("%llu calls, %llu answers", (unsigned long long)bed->calls,
			      (unsigned long long)bed->answered);
	gb_pump_free(bed->pump);
	kernel_check();
}

#endif
