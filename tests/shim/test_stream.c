/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CREDITS, TIMESTAMP and BULK in the pump, against the real firmware core.
 */
#define _GNU_SOURCE
#include "core_link.h"
#include "pump/controller_internal.h"
#include "pump/request_internal.h"

#define TAG RPMSG_GPIO_F_TAG
#define CREDITS RPMSG_GPIO_F_CREDITS
#define TIMESTAMP RPMSG_GPIO_F_TIMESTAMP
#define BULK RPMSG_GPIO_F_BULK
#define BOTH VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH
#define EDGES (GB_LINE_EDGE_RISING | GB_LINE_EDGE_FALLING)
#define HOURS UINT64_C(10000000000000)
#define GPIO 6
#define MANY 32
#define MANY_PLACES (2 * MANY)

/* A line with edges, and its client. */
struct client {
	struct gb_request *request;
	struct gb_request_fds fds;
	struct gb_event_ring *ring;
	uint32_t seqno, count; /* of the last event, and events read */
	uint64_t time_ns;
};

static void enable(struct session *s, uint16_t gpio, uint32_t type)
{
	CHECK_EQ(call_and_wait(s, VIRTIO_GPIO_MSG_SET_DIRECTION, gpio,
			       VIRTIO_GPIO_DIRECTION_IN).error, 0);
	CHECK_EQ(call_and_wait(s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, gpio, type).error, 0);
}

static void open_disabled(struct session *s, struct client *client, uint16_t gpio, uint32_t flags,
			  uint32_t capacity)
{
	struct gb_line_plan plan = {
		.controller = s->controller, .gpio = gpio, .offset = gpio,
		.flags = flags, .irq_type = BOTH,
	};

	memset(client, 0, sizeof(*client));
	client->request = gb_request_open(s->pump, 9, &plan, 1, capacity, TIMEOUT_MS,
					  &client->fds);
	CHECK(client->request != NULL);
	client->ring = gb_event_ring_map(client->fds.ring);
}

static void open_client(struct session *s, struct client *client, uint16_t gpio, uint32_t flags,
			uint32_t capacity)
{
	open_disabled(s, client, gpio, flags, capacity);
	enable(s, gpio, BOTH);
}

static void close_client(struct client *client)
{
	gb_event_ring_free(client->ring);
	close_fds(&client->fds);
}

/* An edge, if the firmware could send it at once. */
static bool try_edge(struct session *s, uint16_t gpio, bool always)
{
	struct core_link *core = s->core;
	bool armed;

	gb_lock(s->pump);
	armed = rpmsg_gpio_device_armed(&core->device, gpio);
	if (armed || always) {
		core->pins[gpio] = !core->pins[gpio];
		rpmsg_gpio_device_edge(&core->device, gpio, core->pins[gpio], port_time(core));
		rpmsg_gpio_device_run(&core->device);
	}
	gb_unlock(s->pump);
	return armed;
}

static void edge(struct session *s, uint16_t gpio)
{
	try_edge(s, gpio, true);
}

/* The next event; checks what holds for every one. */
static bool next_event(struct client *client, struct gb_line_event *event)
{
	struct pollfd poller = {.fd = client->fds.event, .events = POLLIN};

	memset(event, 0, sizeof(*event));
	if (poll(&poller, 1, LONG_MS) != 1)
		return false;
	CHECK_EQ(gb_event_ring_read(client->ring, client->fds.event, event, 1), 1);
	CHECK(event->seqno > client->seqno);
	CHECK(event->timestamp_ns >= client->time_ns);
	CHECK(event->timestamp_ns <= gb_now_ns());
	client->seqno = event->seqno;
	client->time_ns = event->timestamp_ns;
	client->count++;
	return true;
}

static void expect_event(struct client *client, uint32_t seqno)
{
	struct gb_line_event event;

	CHECK(next_event(client, &event));
	CHECK_EQ(event.seqno, seqno);
	CHECK_EQ(event.line_seqno, seqno);
	CHECK_EQ(event.id, seqno & 1 ? 1 : 2);
}

/* Wait until the firmware may send an event of the line. */
static bool wait_armed(struct session *s, uint16_t gpio, int ms)
{
	int64_t deadline = now_ms() + ms;

	for (;;) {
		bool armed;

		gb_lock(s->pump);
		armed = rpmsg_gpio_device_armed(&s->core->device, gpio);
		gb_unlock(s->pump);
		if (armed || now_ms() > deadline)
			return armed;
		poll(NULL, 0, 1);
	}
}

static void every_subset_counts_every_edge(void)
{
	static const uint32_t forms[] = {0, TAG, CREDITS, TIMESTAMP, CREDITS | TIMESTAMP,
					 TAG | CREDITS, TAG | TIMESTAMP,
					 TAG | CREDITS | TIMESTAMP | BULK | RPMSG_GPIO_F_EPOCH};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct client client;
		struct session s;

		open_session(&s, forms[i]);
		open_client(&s, &client, GPIO, EDGES, 16);
		for (uint32_t n = 1; n <= 100 && !check_bad; n++) {
			CHECK(wait_armed(&s, GPIO, LONG_MS));
			edge(&s, GPIO);
			expect_event(&client, n);
		}
		close_client(&client);
		close_session(&s);
	}
}

static void credits_spare_the_rearm_and_the_level(void)
{
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 64);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	s.core->requests = 0;
	for (uint32_t n = 1; n <= 1000 && !check_bad; n++) {
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		edge(&s, GPIO);
		expect_event(&client, n);
	}
	/* A grant for each half window. */
	CHECK(s.core->requests <= 1000 / 32 + 1);
	close_client(&client);
	close_session(&s);
}

/* A client that reads, however late, loses nothing that could be kept back. */
static void the_ring_sets_the_pace(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;
	uint32_t sent = 0;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 16);
	while (client.count < 2000 && !check_bad) {
		while (sent < 2000 && sent - client.count < 16 && wait_armed(&s, GPIO, 30)) {
			edge(&s, GPIO);
			sent++;
		}
		for (int n = 0; n < 5 && client.count < sent; n++) {
			CHECK(next_event(&client, &event));
			CHECK_EQ(event.line_seqno, client.count);
		}
	}
	close_client(&client);
	close_session(&s);
}

static void nobody_looks(struct gb_timer *timer)
{
	(void)timer;
}

static void a_ring_that_was_emptied_has_credits_without_a_timer(void)
{
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 16);
	gb_lock(s.pump);
	s.controller->streams.timer.expired = nobody_looks;
	gb_unlock(s.pump);
	for (uint32_t n = 1; n <= 64 && !check_bad; n += 16) {
		for (uint32_t i = 0; i < 16; i++) {
			CHECK(wait_armed(&s, GPIO, LONG_MS));
			edge(&s, GPIO);
		}
		CHECK(!wait_armed(&s, GPIO, 0));
		for (uint32_t i = 0; i < 16; i++)
			expect_event(&client, n + i);
	}
	close_client(&client);
	close_session(&s);
}

static uint32_t (*count_taken)(const struct gb_event_places *places);
static uint32_t counted;

static uint32_t taken_is_counted(const struct gb_event_places *places)
{
	counted++;
	return count_taken(places);
}

static bool wait_for_events(const struct client *client, uint32_t count)
{
	int64_t deadline = now_ms() + LONG_MS;
	uint32_t waiting;

	do {
		poll(NULL, 0, 1);
		gb_lock(client->request->pump);
		waiting = gb_event_ring_waiting(client->request->ring);
		gb_unlock(client->request->pump);
	} while (waiting < count && now_ms() < deadline);
	return waiting == count;
}

/* Each line looks for free places; who has all lines does not pay for that by their square. */
static void free_places_are_counted_once_for_all_lines(void)
{
	struct gb_line_plan plans[MANY] = {0};
	struct gb_line_event event;
	struct client client = {0};
	struct session s;
	uint32_t sent = 0;

	open_session(&s, TAG | CREDITS);
	for (uint16_t gpio = 0; gpio < MANY; gpio++)
		plans[gpio] = (struct gb_line_plan){
			.controller = s.controller, .gpio = gpio, .offset = gpio,
			.flags = EDGES, .irq_type = BOTH,
		};
	client.request = gb_request_open(s.pump, 9, plans, MANY, MANY_PLACES, TIMEOUT_MS,
					 &client.fds);
	CHECK(client.request != NULL);
	client.ring = gb_event_ring_map(client.fds.ring);
	for (uint16_t gpio = 0; gpio < MANY; gpio++)
		enable(&s, gpio, BOTH);
	gb_lock(s.pump);
	s.controller->streams.timer.expired = nobody_looks;
	count_taken = client.request->places.taken;
	client.request->places.taken = taken_is_counted;
	gb_unlock(s.pump);
	for (uint16_t gpio = 0; gpio < MANY && !check_bad; gpio++)
		for (int n = 0; n < 2; n++, sent++) {
			CHECK(wait_armed(&s, gpio, LONG_MS));
			edge(&s, gpio);
		}
	CHECK(wait_for_events(&client, sent));
	gb_lock(s.pump);
	counted = 0;
	gb_unlock(s.pump);
	while (client.count < sent && next_event(&client, &event))
		;
	for (uint16_t gpio = 0; gpio < MANY && !check_bad; gpio++)
		CHECK(wait_armed(&s, gpio, LONG_MS));
	gb_lock(s.pump);
	CHECK(counted < MANY);
	gb_unlock(s.pump);
	close_client(&client);
	close_session(&s);
}

static void a_client_that_does_not_read_loses_its_oldest(void)
{
	struct client lazy, other;
	struct gb_line_event event;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &lazy, GPIO, EDGES, 16);
	open_client(&s, &other, 3, EDGES, 16);
	for (uint32_t n = 1; n <= 100 && !check_bad; n++) {
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		edge(&s, GPIO);
		/* nobody else waits for it */
		CHECK(wait_armed(&s, 3, LONG_MS));
		edge(&s, 3);
		expect_event(&other, n);
	}
	CHECK(next_event(&lazy, &event));
	CHECK_EQ(event.line_seqno, 100 - 16 + 1);
	for (uint32_t n = 100 - 16 + 2; n <= 100; n++)
		expect_event(&lazy, n);
	close_client(&lazy);
	close_client(&other);
	close_session(&s);
}

static void what_is_lost_shows_in_the_numbers(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	expect_event(&client, 1);
	s.core->drop_replies = 3; /* event messages */
	for (int n = 0; n < 3; n++)
		edge(&s, GPIO);
	edge(&s, GPIO);
	CHECK(next_event(&client, &event));
	CHECK_EQ(event.line_seqno, 5);
	CHECK_EQ(event.seqno, 5);
	CHECK_EQ(event.id, 1);
	close_client(&client);
	close_session(&s);
}

static void at_the_source_too(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 16);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	gb_lock(s.pump);
	for (int n = 0; n < 41; n++) { /* more than credits, in one go */
		s.core->pins[GPIO] = !s.core->pins[GPIO];
		rpmsg_gpio_device_edge(&s.core->device, GPIO, s.core->pins[GPIO], 0);
	}
	rpmsg_gpio_device_run(&s.core->device);
	gb_unlock(s.pump);
	for (uint32_t n = 1; n <= 16; n++)
		expect_event(&client, n);
	CHECK(next_event(&client, &event));
	CHECK_EQ(event.line_seqno, 41);
	CHECK_EQ(event.id, 1);
	close_client(&client);
	close_session(&s);
}

static void a_lost_grant_stalls_no_line(void)
{
	for (int way = 0; way < 2; way++) {
		struct client client;
		struct session s;

		open_session(&s, TAG | CREDITS);
		s.core->counted_type = RPMSG_GPIO_MSG_GRANT_CREDITS;
		s.core->drop_requests = way ? 0 : 2;
		open_client(&s, &client, GPIO, EDGES, 16);
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		for (uint32_t n = 1; n <= 40 && !check_bad; n++) {
			/* The answer to a grant, or to none: it is asked again. */
			if (way && n % 8 == 7)
				s.core->drop_requests = 1;
			CHECK(wait_armed(&s, GPIO, LONG_MS));
			edge(&s, GPIO);
			expect_event(&client, n);
		}
		close_client(&client);
		close_session(&s);
	}
}

/* Whoever is told that edges are enabled may make some at once. */
static void edges_are_enabled_when_the_first_credits_are_there(void)
{
	struct gb_report report;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_disabled(&s, &client, GPIO, EDGES, 16);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, GPIO,
			       VIRTIO_GPIO_DIRECTION_IN).error, 0);
	s.core->hold = true;
	call(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, GPIO, BOTH);
	gb_lock(s.pump);
	CHECK_EQ(s.core->queued, 1); /* the reply; and the grant does not get away */
	s.core->full = true;
	s.core->hold = false;
	core_ready(&s.core->link, 0, EPOLLIN);
	CHECK(!rpmsg_gpio_device_armed(&s.core->device, GPIO));
	gb_unlock(s.pump);
	CHECK(!gb_pump_next_report(s.pump, &report));
	open_gate(&s);
	CHECK_EQ(next_report(&s).error, 0);
	CHECK(wait_armed(&s, GPIO, 0));
	for (int n = 0; n < 16; n++)
		edge(&s, GPIO);
	for (uint32_t n = 1; n <= 16; n++)
		expect_event(&client, n);
	close_client(&client);
	close_session(&s);
}

/* No place in the queue for a grant: the line gets its credits later. */
static void a_grant_that_cannot_wait_is_made_later(void)
{
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 16);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	close_gate(&s);
	for (uint32_t n = 1; n <= 16; n++) {
		edge(&s, GPIO);
		expect_event(&client, n);
	}
	CHECK(!wait_armed(&s, GPIO, 0));
	open_gate(&s);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	expect_event(&client, 17);
	close_client(&client);
	close_session(&s);
}

/* Nor for a re-arm; or it was damaged on its way. */
static void a_rearm_that_went_wrong_is_made_again(void)
{
	for (int way = 0; way < 2; way++) {
		struct client client;
		struct session s;

		open_session(&s, TAG | TIMESTAMP);
		open_client(&s, &client, GPIO, EDGES, 16);
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		poll(NULL, 0, 20); /* the clock has been asked for */
		s.core->counted_type = VIRTIO_GPIO_MSG_SET_IRQ_TYPE;
		if (way)
			s.core->damage_requests = 1;
		else
			close_gate(&s);
		edge(&s, GPIO);
		expect_event(&client, 1);
		if (!way)
			open_gate(&s);
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		edge(&s, GPIO);
		expect_event(&client, 2);
		close_client(&client);
		close_session(&s);
	}
}

/* All events of a window lost on the way, and so its credits. */
static void lost_credits_come_back(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 16);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	expect_event(&client, 1);
	s.core->drop_replies = 15;
	for (int n = 0; n < 15; n++)
		edge(&s, GPIO);
	CHECK(!wait_armed(&s, GPIO, 0));
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	CHECK(next_event(&client, &event));
	CHECK_EQ(event.line_seqno, 17);
	close_client(&client);
	close_session(&s);
}

/* As when a message that disables comes twice. */
static void a_line_disabled_behind_our_back_is_enabled_again(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 4);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	CHECK(next_event(&client, &event));
	gb_lock(s.pump);
	rpmsg_gpio_device_receive(&s.core->device, "\6\0\6\0\0\0\0\0", 8);
	gb_unlock(s.pump);
	CHECK(wait_armed(&s, GPIO, LONG_MS)); /* asked after a silence */
	edge(&s, GPIO);
	CHECK(next_event(&client, &event));
	close_client(&client);
	close_session(&s);
}

/* The answer to NONE did not come, but it was done: the same type again is a new stream,
 * without credits at first and with numbers from 1 on. */
static void a_line_that_was_disabled_without_an_answer_starts_anew(void)
{
	static const uint32_t forms[] = {TAG, TAG | CREDITS, TAG | CREDITS | TIMESTAMP};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct client client;
		struct session s;

		open_session(&s, forms[i]);
		open_client(&s, &client, GPIO, EDGES, 16);
		for (uint32_t n = 1; n <= 20; n++) {
			CHECK(wait_armed(&s, GPIO, LONG_MS));
			edge(&s, GPIO);
			expect_event(&client, n);
		}
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		s.core->counted_type = VIRTIO_GPIO_MSG_SET_IRQ_TYPE;
		s.core->drop_counted_replies = 1;
		call_in_vain(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, GPIO, VIRTIO_GPIO_IRQ_TYPE_NONE);
		CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, GPIO, BOTH).error, 0);
		for (uint32_t n = 21; n <= 60 && !check_bad; n++) {
			CHECK(wait_armed(&s, GPIO, LONG_MS));
			edge(&s, GPIO);
			expect_event(&client, n);
		}
		close_client(&client);
		close_session(&s);
	}
}

/* Nor was it done: what the firmware still has in credits is found out. */
static void a_line_that_was_not_disabled_goes_on(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	open_client(&s, &client, GPIO, EDGES, 16);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	s.core->counted_type = VIRTIO_GPIO_MSG_SET_IRQ_TYPE;
	s.core->drop_requests = 1;
	CHECK_EQ(gb_controller_call(s.controller, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, GPIO,
				    VIRTIO_GPIO_IRQ_TYPE_NONE, GB_CALL_AUTO, TIMEOUT_MS,
				    ++s.cookie), 0);
	while (try_edge(&s, GPIO, false)) /* of a line that its owner does not want now */
		continue;
	CHECK_EQ(next_report(&s).error, ETIMEDOUT);
	CHECK_EQ(call_and_wait(&s, VIRTIO_GPIO_MSG_SET_IRQ_TYPE, GPIO, BOTH).error, 0);
	for (uint32_t n = 1; n <= 40 && !check_bad; n++) {
		CHECK(wait_armed(&s, GPIO, LONG_MS));
		edge(&s, GPIO);
		CHECK(next_event(&client, &event));
	}
	close_client(&client);
	close_session(&s);
}

/* ---- forged records ------------------------------------------------------------ */

static struct rpmsg_gpio_timed_event record_of(uint16_t gpio, uint8_t flags, uint32_t sequence,
					       uint64_t timestamp)
{
	return (struct rpmsg_gpio_timed_event){
		{RPMSG_GPIO_QUEUE_EVENT, flags, rpmsg_gpio_store16(gpio),
		 rpmsg_gpio_store32(sequence)}, rpmsg_gpio_store64(timestamp)};
}

static void forge(struct session *s, uint16_t gpio, uint8_t flags, uint32_t sequence,
		  uint64_t timestamp)
{
	struct rpmsg_gpio_timed_event record = record_of(gpio, flags, sequence, timestamp);
	bool timed = s->core->config.features & TIMESTAMP;

	gb_lock(s->pump);
	gb_link_received(&s->core->link, ADDRESS, SOURCE, &record,
			 timed ? sizeof(record) : sizeof(record.event));
	gb_unlock(s->pump);
}

static void duplicates_and_late_records_are_dropped(void)
{
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	forge(&s, GPIO, 1, 1, 1000);
	forge(&s, GPIO, 1, 1, 1000);
	forge(&s, GPIO, 0, 2, 2000);
	forge(&s, GPIO, 1, 1, 1000);
	forge(&s, GPIO, 1, 5, 5000);
	forge(&s, GPIO, 0, 4, 4000); /* overtaken: its number was given up */
	forge(&s, LINES, 1, 1, 1000);
	forge(&s, 0, 1, 1, 1000);    /* nobody asked for this line */
	CHECK_EQ(gb_link_strays(&s.core->link), 5);
	expect_event(&client, 1);
	expect_event(&client, 2);
	expect_event(&client, 5);
	close_client(&client);
	close_session(&s);
}

/* A damaged number must not make all true ones look old. */
static void a_false_jump_is_taken_back(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	forge(&s, GPIO, 1, 1, 1000);
	forge(&s, GPIO, 0, 2 + 0xff0000, 2000); /* too many to be true */
	CHECK_EQ(gb_link_strays(&s.core->link), 1);
	forge(&s, GPIO, 0xff, 2, 2000);
	CHECK_EQ(gb_link_strays(&s.core->link), 2);
	forge(&s, GPIO, 0, 2 + 0xff0, 2000);
	forge(&s, GPIO, 1, 3, 3000);
	forge(&s, GPIO, 0, 4, 4000);
	for (int n = 0; n < 4; n++)
		CHECK(next_event(&client, &event));
	CHECK_EQ(event.id, 2);
	close_client(&client);
	close_session(&s);
}

/* A number is trusted when another one follows directly, not when it is damaged
 * less than the one before. */
static void a_second_false_jump_does_not_stop_a_line(void)
{
	struct session s;
	struct client client;
	struct gb_line_event event;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	forge(&s, GPIO, 1, 1, 1000);
	forge(&s, GPIO, 0, 2 + 0xff0, 2000);
	forge(&s, GPIO, 1, 3 + 0xf0, 3000);
	forge(&s, GPIO, 0, 4, 4000);
	forge(&s, GPIO, 0, 2 + 0xff0, 2000); /* again: late */
	forge(&s, GPIO, 0, 4, 4000);
	forge(&s, GPIO, 1, 5, 5000);
	for (int n = 0; n < 5; n++)
		CHECK(next_event(&client, &event));
	CHECK_EQ(event.id, 1);
	CHECK_EQ(client.count, 5);
	close_client(&client);
	close_session(&s);
}

/* Nor when the next one is damaged in the same way and so follows directly. */
static void two_alike_false_jumps_do_not_stop_a_line(void)
{
	struct session s;
	struct client client;
	struct gb_line_event event;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	for (uint32_t n = 1; n <= 4; n++)
		forge(&s, GPIO, n & 1, n, 1000 * n);
	forge(&s, GPIO, 1, 5 + 0xff0, 5000);
	forge(&s, GPIO, 0, 6 + 0xff0, 6000);
	forge(&s, GPIO, 1, 7, 7000);
	forge(&s, GPIO, 1, 7, 7000); /* twice */
	forge(&s, GPIO, 0, 8, 8000);
	for (int n = 0; n < 8; n++)
		CHECK(next_event(&client, &event));
	CHECK_EQ(event.id, 2);
	CHECK_EQ(client.count, 8);
	close_client(&client);
	close_session(&s);
}

static void random_records_hurt_nobody(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;
	uint8_t bytes[RPMSG_GPIO_MESSAGE_MAX];

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 16);
	srand(7);
	for (int i = 0; i < 20000; i++) {
		uint16_t length = (uint16_t)(rand() % 3 ? 16 * (rand() % 5) : rand() % 64);

		for (uint16_t at = 0; at < length; at++)
			bytes[at] = (uint8_t)(rand() >> 7);
		bytes[0] |= RPMSG_GPIO_QUEUE_EVENT; /* a reply may say that the firmware restarted */
		for (uint16_t at = 0; at + 16 <= length; at = (uint16_t)(at + 16)) {
			bytes[at] = RPMSG_GPIO_QUEUE_EVENT;
			bytes[at + 2] = rand() & 1 ? GPIO : 3;
			bytes[at + 3] = 0;
			if (rand() & 1) { /* one that could be true */
				rpmsg_gpio_le32 sequence = rpmsg_gpio_store32((uint32_t)i);

				bytes[at + 1] &= 3;
				memcpy(&bytes[at + 4], &sequence, sizeof(sequence));
			}
		}
		gb_lock(s.pump);
		if (length)
			gb_link_received(&s.core->link, ADDRESS, SOURCE, bytes, length);
		gb_unlock(s.pump);
	}
	/* Whatever the numbers say, time does not go back. */
	while (gb_event_ring_take(client.ring, client.fds.event, &event, 1) > 0) {
		CHECK(event.timestamp_ns >= client.time_ns && event.timestamp_ns <= gb_now_ns());
		client.time_ns = event.timestamp_ns;
		client.count++;
	}
	CHECK_EQ(client.count, 16);
	/* The true events come through again: a stream that starts anew. */
	enable(&s, GPIO, VIRTIO_GPIO_IRQ_TYPE_NONE);
	enable(&s, GPIO, BOTH);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	CHECK(next_event(&client, &event));
	close_client(&client);
	close_session(&s);
}

/* ---- time ------------------------------------------------------------------------ */

static void wait_clock(struct session *s, struct gb_clock_state *state)
{
	int64_t deadline = now_ms() + LONG_MS;

	do
		gb_controller_clock(s->controller, state);
	while (!state->known && now_ms() < deadline && poll(NULL, 0, 1) == 0);
	CHECK(state->known);
}

static void timestamps_are_mapped_to_our_clock(void)
{
	struct gb_clock_state state;
	struct gb_line_event event;
	struct client client;
	struct session s;
	uint64_t largest = 0;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	gb_lock(s.pump);
	s.core->clock_offset = HOURS;
	gb_unlock(s.pump);
	gb_controller_accept(s.controller, TAG | CREDITS | TIMESTAMP, 0xabcd1234);
	open_client(&s, &client, GPIO, EDGES, 64);
	wait_clock(&s, &state);
	for (uint32_t n = 1; n <= 300 && !check_bad; n++) {
		uint64_t before, after;

		CHECK(wait_armed(&s, GPIO, LONG_MS));
		poll(NULL, 0, 1);
		before = gb_now_ns();
		edge(&s, GPIO);
		after = gb_now_ns();
		CHECK(next_event(&client, &event));
		gb_controller_clock(s.controller, &state);
		CHECK(event.timestamp_ns + state.edges_bound_ns + 1000000 > before);
		CHECK(state.edges_bound_ns >= largest);
		largest = state.edges_bound_ns;
		if (n > 100) {
			CHECK(event.timestamp_ns + state.edges_bound_ns >= before);
			CHECK(event.timestamp_ns <= after + state.edges_bound_ns);
		}
	}
	gb_controller_clock(s.controller, &state);
	CHECK(state.samples > 8);
	CHECK(state.device_ns - state.host_ns > HOURS - 100000000);
	CHECK(state.edges_bound_ns && state.bound_ns);
	gb_request_close(client.request);
	gb_controller_clock(s.controller, &state);
	CHECK(state.bound_ns && !state.edges_bound_ns); /* it was that of a line nobody watches now */
	close_client(&client);
	close_session(&s);
}

/* It was taken before anybody knew the clock. What is lost after it makes a gap in the numbers, and
 * they would lead back in time for ever. */
static void a_damaged_time_does_not_stop_a_line(void)
{
	struct gb_clock_state state;
	struct gb_line_event event;
	struct client client, other;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	gb_lock(s.pump);
	s.core->counted_type = RPMSG_GPIO_MSG_GET_TIME;
	s.core->drop_requests = 1000;
	gb_unlock(s.pump);
	gb_controller_accept(s.controller, TAG | CREDITS | TIMESTAMP, 0xabcd1234);
	open_client(&s, &client, GPIO, EDGES, 64);
	open_client(&s, &other, GPIO + 1, EDGES, 64);
	forge(&s, GPIO, 1, 1, port_time(s.core));
	forge(&s, GPIO, 0, 2, port_time(s.core) + HOURS);
	gb_controller_clock(s.controller, &state);
	CHECK(!state.known);
	gb_lock(s.pump);
	s.core->drop_requests = 0;
	gb_unlock(s.pump);
	/* Edges of another line make the service ask for the clock again. */
	for (uint32_t n = 1; n <= LONG_MS && !state.known; n++) {
		forge(&s, GPIO + 1, n & 1, n, port_time(s.core));
		poll(NULL, 0, 1);
		gb_controller_clock(s.controller, &state);
	}
	CHECK(state.known);
	forge(&s, GPIO, 0, 4, port_time(s.core));
	forge(&s, GPIO, 1, 5, port_time(s.core));
	for (int n = 0; n < 4; n++)
		CHECK(next_event(&client, &event));
	CHECK_EQ(event.line_seqno, 5);
	close_client(&other);
	close_client(&client);
	close_session(&s);
}

static void the_source_clock_can_be_asked_for(void)
{
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES | GB_LINE_SOURCE_CLOCK, 64);
	forge(&s, GPIO, 1, 1, 12345);
	CHECK(next_event(&client, &event));
	CHECK_EQ(event.timestamp_ns, 12345);
	close_client(&client);
	close_session(&s);
}

/* The last edge's, which no other time would tell. */
static void a_debounced_line_has_the_source_clock_too(void)
{
	const struct rpmsg_gpio_timed_event records[] = {
		record_of(GPIO, 1, 1, 1000), record_of(GPIO, 0, 2, 2000), record_of(GPIO, 1, 3, 3000)};
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES | GB_LINE_SOURCE_CLOCK, 64);
	gb_request_replan(client.request, &(struct gb_line_plan){
		.controller = s.controller, .gpio = GPIO, .offset = GPIO,
		.flags = EDGES | GB_LINE_SOURCE_CLOCK, .irq_type = BOTH, .debounce_us = 5000}, 1);
	gb_request_settle(client.request, 0, false);
	s.core->pins[GPIO] = 1;
	gb_lock(s.pump);
	gb_link_received(&s.core->link, ADDRESS, SOURCE, records, sizeof(records));
	gb_unlock(s.pump);
	CHECK(next_event(&client, &event));
	CHECK_EQ(event.timestamp_ns, 3000);
	close_client(&client);
	close_session(&s);
}

/* A damaged time shows neither as one that goes back nor as one to come. Two of these
 * in a row are true: the host slept, and its clock with it. */
static void the_source_clock_does_not_go_back(void)
{
	static const uint64_t far = UINT64_C(1) << 62;
	const uint64_t sent[] = {1000, 500, far, 2000, far, far + 1};
	const uint64_t told[] = {1000, 1000, 1000, 2000, 2000, far + 1};
	struct gb_clock_state state;
	struct gb_line_event event;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES | GB_LINE_SOURCE_CLOCK, 64);
	wait_clock(&s, &state);
	for (uint32_t n = 0; n < 6; n++)
		forge(&s, GPIO, !(n & 1), n + 1, sent[n]);
	for (uint32_t n = 0; n < 6; n++) {
		CHECK_EQ(gb_event_ring_read(client.ring, client.fds.event, &event, 1), 1);
		CHECK_EQ(event.timestamp_ns, told[n]);
	}
	close_client(&client);
	close_session(&s);
}

/* Mapped with a rate that is somewhat wrong, it may lie before the start of our clock. */
static void a_time_before_our_clock_is_none_to_come(void)
{
	const struct rpmsg_gpio_timed_event records[] = {
		record_of(GPIO, 1, 1, 1000), record_of(GPIO, 0, 2 + 0xff0, 2000),
		record_of(GPIO, 0, 2, 3000)};
	struct gb_clock_state state;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	wait_clock(&s, &state);
	gb_lock(s.pump);
	s.controller->sync.clock.rate = 0.005;
	gb_link_received(&s.core->link, ADDRESS, SOURCE, records, sizeof(records));
	gb_unlock(s.pump);
	CHECK_EQ(gb_link_strays(&s.core->link), 0);
	close_client(&client);
	close_session(&s);
}

/* ---- firmware that lies ---------------------------------------------------------- */

/* Requests of the type that came meanwhile are one in a third of a second at most. */
static bool is_asked_rarely(struct session *s)
{
	int64_t start = now_ms();
	unsigned int before, after;

	gb_lock(s->pump);
	before = s->core->counted;
	gb_unlock(s->pump);
	poll(NULL, 0, 300);
	gb_lock(s->pump);
	after = s->core->counted;
	gb_unlock(s->pump);
	return after - before <= (now_ms() - start) / 300;
}

/* All bits set, each time: the pump asked again at once, for ever. */
static void credits_that_make_no_sense_are_told_once(void)
{
	struct gb_report report;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS);
	s.core->nonsense = UINT64_C(0x5555555555555555);
	s.core->lie_about = s.core->counted_type = RPMSG_GPIO_MSG_GRANT_CREDITS;
	open_client(&s, &client, GPIO, EDGES, 64);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_LINE_FAULT);
	CHECK_EQ(report.error, EPROTO);
	CHECK(is_asked_rarely(&s));
	CHECK_EQ(gb_pump_next_report(s.pump, &report), 0);
	/* An honest answer, and it goes on. */
	gb_lock(s.pump);
	s.core->lie_about = 0;
	gb_unlock(s.pump);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	CHECK(next_event(&client, &(struct gb_line_event){0}));
	close_client(&client);
	close_session(&s);
}

static void a_clock_that_makes_no_sense_is_told_once(void)
{
	struct gb_report report;
	struct client client;
	struct session s;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 64);
	gb_lock(s.pump);
	s.core->lie_about = s.core->counted_type = RPMSG_GPIO_MSG_GET_TIME;
	gb_unlock(s.pump);
	gb_controller_accept(s.controller, TAG | CREDITS | TIMESTAMP, 0xabcd1234);
	report = next_report(&s);
	CHECK_EQ(report.kind, GB_REPORT_NONSENSE);
	CHECK_EQ(report.id, 2);
	CHECK_EQ(report.number, RPMSG_GPIO_MSG_GET_TIME);
	CHECK(is_asked_rarely(&s));
	CHECK_EQ(gb_pump_next_report(s.pump, &report), 0);
	close_client(&client);
	close_session(&s);
}

static bool has_timers(struct session *s)
{
	bool any;

	gb_lock(s->pump);
	any = s->pump->loop.timers.first != NULL;
	gb_unlock(s->pump);
	return any;
}

static void an_idle_session_is_silent(void)
{
	struct gb_clock_state state;
	struct client client;
	struct session s;
	unsigned int requests;

	open_session(&s, TAG | CREDITS | TIMESTAMP);
	open_client(&s, &client, GPIO, EDGES, 16);
	wait_clock(&s, &state);
	CHECK(wait_armed(&s, GPIO, LONG_MS));
	edge(&s, GPIO);
	expect_event(&client, 1);
	/* What follows an edge is over then. */
	for (int64_t deadline = now_ms() + 10000; has_timers(&s) && now_ms() < deadline;)
		poll(NULL, 0, 10);
	requests = s.core->requests;
	poll(NULL, 0, 1500);
	CHECK_EQ(s.core->requests, requests);
	CHECK(!has_timers(&s));
	close_client(&client);
	close_session(&s);
}

/* ---- bulk ------------------------------------------------------------------------- */

static struct gb_request *open_many(struct session *s, struct gb_request_fds *fds)
{
	struct gb_line_plan plans[20] = {0};
	struct gb_request *request;

	for (uint16_t n = 0; n < 20; n++)
		plans[n] = (struct gb_line_plan){
			.controller = s->controller, .gpio = (uint16_t)(39 - n), .offset = n,
			.flags = GB_LINE_OUTPUT | (n & 1 ? GB_LINE_ACTIVE_LOW : 0),
		};
	request = gb_request_open(s->pump, 9, plans, 20, 16, TIMEOUT_MS, fds);
	CHECK(request != NULL);
	return request;
}

static void many_lines_go_in_one_message(void)
{
	static const uint32_t forms[] = {0, TAG, BULK, TAG | BULK};

	for (size_t i = 0; i < 4; i++) {
		struct gb_request_fds fds;
		struct session s;
		uint64_t bits = 0xabcde;

		open_session(&s, forms[i]);
		open_many(&s, &fds);
		for (uint16_t gpio = 20; gpio < 40; gpio++)
			call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, gpio,
				      VIRTIO_GPIO_DIRECTION_OUT);
		s.core->requests = 0;
		CHECK_EQ(operate(&fds, GB_OPERATION_SET, 0xfffff, &bits), 0);
		CHECK_EQ(s.core->requests, forms[i] & BULK ? 1 : 20);
		for (unsigned int n = 0; n < 20; n++)
			CHECK_EQ(s.core->pins[39 - n], (0xabcde >> n & 1) != (n & 1));
		bits = 0;
		CHECK_EQ(operate(&fds, GB_OPERATION_GET, 0xff0ff, &bits), 0);
		CHECK_EQ(bits, 0xab0de);
		s.core->requests = 0;
		CHECK_EQ(operate(&fds, GB_OPERATION_GET, 0x00100, &bits), 0);
		CHECK_EQ(bits, 0x00100 & 0xabcde);
		CHECK_EQ(s.core->last_type, VIRTIO_GPIO_MSG_GET_VALUE); /* one alone */
		close_fds(&fds);
		close_session(&s);
	}
}

/* Firmware that knows BULK, behind a link whose messages are too short for it. */
static void many_lines_go_one_by_one_where_the_message_does_not_fit(void)
{
	struct gb_request_fds fds;
	struct session s;
	uint64_t bits = 0xabcde;

	open_session(&s, TAG | BULK);
	open_many(&s, &fds);
	for (uint16_t gpio = 20; gpio < 40; gpio++)
		call_and_wait(&s, VIRTIO_GPIO_MSG_SET_DIRECTION, gpio, VIRTIO_GPIO_DIRECTION_OUT);
	s.core->largest = 16;
	CHECK_EQ(operate(&fds, GB_OPERATION_SET, 0xfffff, &bits), 0);
	for (unsigned int n = 0; n < 20; n++)
		CHECK_EQ(s.core->pins[39 - n], (0xabcde >> n & 1) != (n & 1));
	bits = 0;
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 0xff0ff, &bits), 0);
	CHECK_EQ(bits, 0xab0de);
	close_fds(&fds);
	close_session(&s);
}

static void a_lost_bulk_message_ends_at_its_deadline(void)
{
	struct gb_request_fds fds;
	struct session s;
	uint64_t bits = 0;

	open_session(&s, TAG | BULK);
	open_many(&s, &fds);
	s.core->drop_replies = 1;
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 0xfffff, &bits), ETIMEDOUT);
	CHECK_EQ(operate(&fds, GB_OPERATION_GET, 0xfffff, &bits), 0);
	close_fds(&fds);
	close_session(&s);
}

static void python_can_send_bodies(void)
{
	struct rpmsg_gpio_mask_body mask = {rpmsg_gpio_store64(4)};
	struct gb_report report;
	struct session s;

	open_session(&s, TAG | BULK);
	s.core->pins[2] = 1;
	CHECK_EQ(gb_controller_call_body(s.controller, RPMSG_GPIO_MSG_GET_VALUES, 0, 0, &mask,
					 sizeof(mask), LONG_MS, 77), 0);
	report = next_report(&s);
	CHECK_EQ(report.id, 77);
	CHECK_EQ(report.error, 0);
	CHECK_EQ(report.length, 8);
	CHECK_EQ(report.body[0], 4);
	CHECK_EQ(gb_controller_call_body(s.controller, RPMSG_GPIO_MSG_GET_VALUES, 0, 0, &mask,
					 GB_CALL_BODY_MAX + 1, TIMEOUT_MS, 78), -EMSGSIZE);
	close_session(&s);
}

int main(void)
{
	RUN(every_subset_counts_every_edge);
	RUN(credits_spare_the_rearm_and_the_level);
	RUN(the_ring_sets_the_pace);
	RUN(a_ring_that_was_emptied_has_credits_without_a_timer);
	RUN(free_places_are_counted_once_for_all_lines);
	RUN(a_client_that_does_not_read_loses_its_oldest);
	RUN(what_is_lost_shows_in_the_numbers);
	RUN(at_the_source_too);
	RUN(a_lost_grant_stalls_no_line);
	RUN(edges_are_enabled_when_the_first_credits_are_there);
	RUN(a_grant_that_cannot_wait_is_made_later);
	RUN(a_rearm_that_went_wrong_is_made_again);
	RUN(lost_credits_come_back);
	RUN(a_line_disabled_behind_our_back_is_enabled_again);
	RUN(a_line_that_was_disabled_without_an_answer_starts_anew);
	RUN(a_line_that_was_not_disabled_goes_on);
	RUN(duplicates_and_late_records_are_dropped);
	RUN(a_false_jump_is_taken_back);
	RUN(a_second_false_jump_does_not_stop_a_line);
	RUN(two_alike_false_jumps_do_not_stop_a_line);
	RUN(random_records_hurt_nobody);
	RUN(timestamps_are_mapped_to_our_clock);
	RUN(a_damaged_time_does_not_stop_a_line);
	RUN(the_source_clock_can_be_asked_for);
	RUN(a_debounced_line_has_the_source_clock_too);
	RUN(the_source_clock_does_not_go_back);
	RUN(a_time_before_our_clock_is_none_to_come);
	RUN(credits_that_make_no_sense_are_told_once);
	RUN(a_clock_that_makes_no_sense_is_told_once);
	RUN(an_idle_session_is_silent);
	RUN(many_lines_go_in_one_message);
	RUN(many_lines_go_one_by_one_where_the_message_does_not_fit);
	RUN(a_lost_bulk_message_ends_at_its_deadline);
	RUN(python_can_send_bodies);
	return check_report();
}
