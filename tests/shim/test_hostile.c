/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pump between firmware that sends anything and a client that sends anything, in
 * every form of session: nobody crashes it, every call ends, and closing frees all.
 */
#define _GNU_SOURCE
#include "core_link.h"

#define ROUNDS 400

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % sides;
}

/* Something like a message: a true queue, a length that has a meaning, a likely tag. */
static void say_anything(struct session *s)
{
	static const uint16_t lengths[] = {1, 3, 4, 8, 12, 16, 32, 48, 496};
	uint8_t bytes[600];
	uint16_t length = dice(4) ? lengths[dice(9)] : (uint16_t)dice(600);

	for (uint16_t at = 0; at < sizeof(bytes); at++)
		bytes[at] = (uint8_t)(dice(3) ? dice(3) : dice(256));
	if (dice(4))
		bytes[0] = (uint8_t)dice(2);
	if (dice(2)) { /* a tag in flight, no other epoch */
		bytes[4] = (uint8_t)dice(64);
		bytes[5] = 0;
		memcpy(bytes + 6, "\x34\x12", 2);
	}
	gb_lock(s->pump);
	gb_link_received(&s->core->link, ADDRESS, SOURCE, bytes, length);
	gb_unlock(s->pump);
}

static void ask_anything(const struct gb_request_fds *fds)
{
	uint8_t packet[600];
	struct gb_operation operation = {
		.code = dice(20) ? 1 + dice(2) : dice(40), .sequence = dice(4),
		.mask = dice(16), .bits = dice(16),
	};
	size_t length = dice(10) ? sizeof(operation) : dice(sizeof(packet));

	memset(packet, 0x55, sizeof(packet));
	memcpy(packet, &operation, sizeof(operation));
	send(fds->operation, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (dice(3) && recv(fds->operation, packet, sizeof(packet), MSG_DONTWAIT) > 0)
		continue;
}

/* A request and its client, either of which may be gone. */
struct client {
	struct gb_request *request;
	struct gb_request_fds fds;
	bool gone;
};

static void open_client(struct session *s, struct client *client)
{
	struct gb_line_plan plans[4];

	for (uint16_t n = 0; n < 4; n++)
		plans[n] = (struct gb_line_plan){
			.controller = s->controller, .gpio = n, .offset = n,
			.flags = dice(1 << 8), .irq_type = (uint8_t)dice(4),
			.debounce_us = dice(2) ? 1 + dice(3000) : 0,
		};
	client->gone = false;
	client->request = gb_request_open(s->pump, 9, plans, 4, 16, 5, &client->fds);
	CHECK(client->request != NULL);
}

static void step_client(struct session *s, struct client *client)
{
	if (client->gone && !dice(5)) {
		gb_request_close(client->request);
		open_client(s, client);
	} else if (!client->gone) {
		ask_anything(&client->fds);
		client->gone = !dice(30);
		if (client->gone)
			close_fds(&client->fds);
	}
}

static unsigned int call_anything(struct session *s)
{
	uint16_t type = (uint16_t)(dice(2) ? dice(7) : 0x8010 + dice(0x20));

	return dice(3) == 0 && gb_controller_call(s->controller, type, (uint16_t)dice(5), dice(4),
						  GB_CALL_AUTO, 5, 1) == 0;
}

/* The calls that ended. */
static unsigned int take_reports(struct session *s)
{
	struct gb_report report;
	unsigned int ended = 0;

	while (gb_pump_next_report(s->pump, &report))
		ended += report.kind == GB_REPORT_REPLY;
	return ended;
}

static void play(uint32_t features)
{
	unsigned int asked = 0, ended = 0;
	struct client client;
	struct session s;
	int64_t deadline;

	open_session(&s, features);
	open_client(&s, &client);
	for (int n = 0; n < ROUNDS; n++) {
		s.core->hold = dice(2);
		notify(s.core);
		asked += call_anything(&s);
		say_anything(&s);
		step_client(&s, &client);
		ended += take_reports(&s);
		if (!dice(20))
			poll(NULL, 0, 1); /* time for the pump, and for deadlines */
	}
	for (deadline = now_ms() + LONG_MS; ended < asked && now_ms() < deadline; poll(NULL, 0, 1))
		ended += take_reports(&s);
	CHECK_EQ(ended, asked);
	if (!client.gone)
		close_fds(&client.fds);
	if (dice(2))
		gb_request_close(client.request);
	close_session(&s);
}

static void anything_may_come(void)
{
	for (uint32_t features = 0; features < 256 && !check_bad; features++) {
		if (features & RPMSG_GPIO_F_NAMES)
			continue; /* this firmware has none */
		seed = features;
		play(features);
	}
}

int main(void)
{
	RUN(anything_may_come);
	return check_report();
}
