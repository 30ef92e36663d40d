/* SPDX-License-Identifier: BSD-3-Clause */
/* Raw endpoints against the real firmware core. */
#define _GNU_SOURCE
#include "core_link.h"
#include "pump/endpoint.h"

static struct gb_endpoint *open_raw(struct session *s)
{
	open_session(s, 0);
	gb_controller_close(s->controller);
	return gb_endpoint_open(&s->core->link, SOURCE, ADDRESS);
}

/* Within two seconds. */
static bool wait_message(struct gb_endpoint *endpoint, struct gb_message *message)
{
	struct pollfd poller = {.fd = gb_endpoint_fd(endpoint), .events = POLLIN};

	while (!gb_endpoint_receive(endpoint, message))
		if (poll(&poller, 1, LONG_MS) != 1)
			return false;
	return true;
}

static void any_bytes_go_out_and_come_back_as_they_are(void)
{
	static const uint8_t odd[] = {0xff, 0x7f, 1};
	static const uint8_t get[] = {4, 0, 2, 0, 0, 0, 0, 0};
	struct gb_message message;
	struct session s;
	struct gb_endpoint *endpoint = open_raw(&s);

	CHECK(endpoint != NULL);
	s.core->pins[2] = 1;
	CHECK_EQ(gb_endpoint_send(endpoint, odd, sizeof(odd)), 0);
	CHECK(wait_message(endpoint, &message));
	CHECK_EQ(message.length, 4);
	CHECK(!memcmp(message.bytes, "\0\0\1\0", 4));
	CHECK_EQ(gb_endpoint_send(endpoint, get, sizeof(get)), 0);
	CHECK(wait_message(endpoint, &message));
	CHECK(!memcmp(message.bytes, "\0\0\0\1", 4));
	CHECK(message.arrival_ns <= gb_now_ns());
	CHECK_EQ(gb_endpoint_receive(endpoint, &message), 0);
	CHECK_EQ(gb_link_strays(&s.core->link), 0);
	gb_endpoint_close(endpoint);
	close_session(&s);
}

static void an_address_has_one_owner(void)
{
	struct session s;
	struct gb_endpoint *endpoint = open_raw(&s);

	CHECK(!gb_endpoint_open(&s.core->link, SOURCE, ADDRESS) && errno == EADDRINUSE);
	CHECK(!gb_controller_open(&s.core->link, 2, SOURCE, ADDRESS) && errno == EADDRINUSE);
	gb_endpoint_close(endpoint);
	s.controller = gb_controller_open(&s.core->link, 2, SOURCE, ADDRESS);
	CHECK(!gb_endpoint_open(&s.core->link, SOURCE, ADDRESS) && errno == EADDRINUSE);
	gb_lock(s.pump);
	gb_link_die(&s.core->link, EIO);
	gb_unlock(s.pump);
	CHECK(!gb_endpoint_open(&s.core->link, SOURCE + 1, ADDRESS) && errno == ENODEV);
	CHECK(!gb_controller_open(&s.core->link, 3, SOURCE + 1, ADDRESS) && errno == ENODEV);
	close_session(&s);
}

static void a_flood_is_counted_and_costs_no_memory(void)
{
	struct gb_message message;
	struct session s;
	struct gb_endpoint *endpoint = open_raw(&s);
	unsigned int got = 0;

	gb_lock(s.pump);
	for (int i = 0; i < 3000; i++)
		gb_link_received(&s.core->link, ADDRESS, SOURCE, "\1\2\0", 3);
	gb_unlock(s.pump);
	while (gb_endpoint_receive(endpoint, &message))
		got++;
	CHECK(got >= 256);
	CHECK_EQ(got + gb_endpoint_lost(endpoint), 3000);
	close_session(&s); /* with the endpoint open: the link closes it */
}

static void a_message_that_is_too_long_is_lost(void)
{
	static const uint8_t big[GB_MESSAGE_MAX + 1];
	struct session s;
	struct gb_endpoint *endpoint = open_raw(&s);
	struct gb_message message;

	gb_lock(s.pump);
	gb_link_received(&s.core->link, ADDRESS, SOURCE, big, sizeof(big));
	gb_link_received(&s.core->link, ADDRESS, SOURCE, big, sizeof(big) - 1);
	gb_link_received(&s.core->link, ADDRESS + 1, SOURCE, big, 3);
	gb_unlock(s.pump);
	CHECK(gb_endpoint_receive(endpoint, &message));
	CHECK_EQ(message.length, GB_MESSAGE_MAX);
	CHECK(!gb_endpoint_receive(endpoint, &message));
	CHECK_EQ(gb_endpoint_lost(endpoint), 1);
	CHECK_EQ(gb_link_strays(&s.core->link), 1);
	gb_endpoint_close(endpoint);
	close_session(&s);
}

static void a_full_link_says_so_and_rings_when_there_is_room(void)
{
	struct pollfd poller = {.events = POLLIN};
	struct session s;
	struct gb_endpoint *endpoint = open_raw(&s);

	poller.fd = gb_endpoint_fd(endpoint);
	s.core->full = true;
	CHECK_EQ(gb_endpoint_send(endpoint, "\0", 1), -EAGAIN);
	CHECK_EQ(poll(&poller, 1, 0), 0);
	gb_lock(s.pump);
	s.core->full = false;
	gb_link_writable(&s.core->link);
	gb_unlock(s.pump);
	CHECK_EQ(poll(&poller, 1, LONG_MS), 1);
	CHECK_EQ(gb_endpoint_send(endpoint, "\0", 1), 0);
	close_session(&s);
}

static void a_dead_link_carries_nothing(void)
{
	struct session s;
	struct gb_endpoint *endpoint = open_raw(&s);

	gb_lock(s.pump);
	gb_link_die(&s.core->link, EIO);
	gb_unlock(s.pump);
	CHECK_EQ(gb_endpoint_send(endpoint, "\0", 1), -ENODEV);
	CHECK(!gb_endpoint_open(&s.core->link, SOURCE + 1, ADDRESS) && errno == ENODEV);
	close_session(&s);
}

int main(void)
{
	RUN(any_bytes_go_out_and_come_back_as_they_are);
	RUN(an_address_has_one_owner);
	RUN(a_flood_is_counted_and_costs_no_memory);
	RUN(a_message_that_is_too_long_is_lost);
	RUN(a_full_link_says_so_and_rings_when_there_is_room);
	RUN(a_dead_link_carries_nothing);
	return check_report();
}
