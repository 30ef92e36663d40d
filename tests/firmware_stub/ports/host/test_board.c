/* SPDX-License-Identifier: BSD-3-Clause */
/* The simulated board below the real firmware core, on stepped time. */
#include <stdlib.h>

#include "board.h"
#include "check.h"
#include "stub_loop.h"

#define NS_PER_MS UINT64_C(1000000)
#define LINES 4

/* A board of one controller with four lines A, B, C, D, powered up. */
struct bench {
	struct loop *loop;
	struct board *board;
	struct board_controller *controller;
	struct board_pin *a, *b, *c, *d;
	struct rpmsg_gpio_line lines[LINES];
	struct rpmsg_gpio_device_config config;
	struct rpmsg_gpio_device device;
	unsigned int events;
	uint8_t reply[4];
};

static struct bench bench;

static bool take_message(void *context, const void *message, size_t length)
{
	const uint8_t *bytes = message;

	(void)context;
	if (length != sizeof(bench.reply))
		return false;
	if (bytes[0] == RPMSG_GPIO_QUEUE_EVENT)
		bench.events++;
	else
		memcpy(bench.reply, bytes, length);
	return true;
}

static const struct rpmsg_gpio_channel channel = {.send = take_message};

static void set_up(void)
{
	static const char *const names[] = {"A", "B", "C", "D"};

	memset(&bench, 0, sizeof(bench));
	bench.loop = loop_new();
	loop_step_mode(bench.loop);
	bench.board = board_new(bench.loop);
	bench.controller = board_add_controller(bench.board, 3, LINES);
	for (int i = 0; i < LINES; i++)
		strcpy(bench.controller->pins[i].name, names[i]);
	bench.a = board_find(bench.board, "A");
	bench.b = board_find(bench.board, "B");
	bench.c = board_find(bench.board, "C");
	bench.d = board_find(bench.board, "3/3");
	bench.config = (struct rpmsg_gpio_device_config){
		.port = &board_port, .port_context = bench.controller,
		.channel = &channel, .lines = bench.lines, .ngpio = LINES};
	rpmsg_gpio_device_init(&bench.device, &bench.config);
	bench.controller->device = &bench.device;
}

static void tear_down(void)
{
	board_free(bench.board);
	loop_free(bench.loop);
}

/* Send a request as the driver does; the value of its OK reply, or -1. */
static int request(uint16_t type, const struct board_pin *pin, uint32_t value)
{
	struct virtio_gpio_request message = {rpmsg_gpio_store16(type),
					      rpmsg_gpio_store16(pin->offset),
					      rpmsg_gpio_store32(value)};

	if (!rpmsg_gpio_device_receive(&bench.device, &message, sizeof(message)))
		return -1;
	return bench.reply[2] == VIRTIO_GPIO_STATUS_OK ? bench.reply[3] : -1;
}

static int output(const struct board_pin *pin, uint32_t value)
{
	request(VIRTIO_GPIO_MSG_SET_VALUE, pin, value);
	return request(VIRTIO_GPIO_MSG_SET_DIRECTION, pin, VIRTIO_GPIO_DIRECTION_OUT);
}

static int arm(const struct board_pin *pin, uint32_t type)
{
	request(VIRTIO_GPIO_MSG_SET_DIRECTION, pin, VIRTIO_GPIO_DIRECTION_IN);
	return request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, pin, type);
}

static void finds_lines_by_name_and_offset(void)
{
	CHECK(bench.a == &bench.controller->pins[0]);
	CHECK(bench.d == &bench.controller->pins[3]);
	CHECK(board_find(bench.board, "3/0") == bench.a);
	CHECK(!board_find(bench.board, "3/4"));
	CHECK(!board_find(bench.board, "0/0"));
	CHECK(!board_find(bench.board, "3/0x"));
	CHECK(!board_find(bench.board, "3/99999999999"));
	CHECK(!board_find(bench.board, "E"));
	CHECK(!board_find(bench.board, ""));
}

static void pulls_decide_when_nobody_drives(void)
{
	CHECK_EQ(bench.a->level, 0);
	board_pull(bench.a, 1);
	CHECK_EQ(bench.a->level, 1);
	board_drive(bench.a, 0);
	CHECK_EQ(bench.a->level, 0);
	board_drive(bench.a, BOARD_FLOAT);
	CHECK_EQ(bench.a->level, 1);
	CHECK_EQ(bench.a->edges, 3);
}

static void a_wire_joins_and_unwire_parts(void)
{
	CHECK(board_wire(bench.board, bench.a, bench.b));
	CHECK(board_wire(bench.board, bench.b, bench.c));
	CHECK_EQ(output(bench.a, 1), 0);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, bench.c, 0), 1);
	CHECK_EQ(bench.d->level, 0);

	CHECK(board_unwire(bench.board, bench.b, bench.a));
	CHECK_EQ(bench.a->level, 1);
	CHECK_EQ(bench.b->level, 0);
	CHECK_EQ(bench.c->level, 0);
	board_drive(bench.c, 1);
	CHECK_EQ(bench.b->level, 1);
	CHECK(!board_unwire(bench.board, bench.a, bench.b));
}

static void a_second_way_keeps_the_net_together(void)
{
	CHECK(board_wire(bench.board, bench.a, bench.b));
	CHECK(board_wire(bench.board, bench.b, bench.c));
	CHECK(board_wire(bench.board, bench.c, bench.a));
	CHECK(board_unwire(bench.board, bench.a, bench.b));
	board_drive(bench.a, 1);
	CHECK_EQ(bench.b->level, 1);
}

static void low_wins_a_fight(void)
{
	CHECK(board_wire(bench.board, bench.a, bench.b));
	CHECK_EQ(output(bench.a, 1), 0);
	board_drive(bench.b, 0);
	CHECK(bench.a->fighting);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, bench.a, 0), 0);
	board_drive(bench.b, BOARD_FLOAT);
	CHECK(!bench.b->fighting);
	CHECK_EQ(bench.b->level, 1);
}

static void only_matching_edges_interrupt(void)
{
	CHECK_EQ(arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING), 0);
	board_drive(bench.a, 1);
	CHECK_EQ(bench.a->interrupts, 0);
	board_drive(bench.a, 0);
	CHECK_EQ(bench.a->interrupts, 1);
	CHECK(rpmsg_gpio_device_run(&bench.device));
	CHECK_EQ(bench.events, 1);
}

static void a_level_interrupt_looks_at_each_rearm(void)
{
	board_drive(bench.a, 1);
	CHECK_EQ(arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH), 0);
	CHECK(rpmsg_gpio_device_run(&bench.device));
	CHECK_EQ(bench.events, 1);
	request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.a, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	CHECK(rpmsg_gpio_device_run(&bench.device));
	CHECK_EQ(bench.events, 2);
	board_drive(bench.a, 0);
	request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.a, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	CHECK(rpmsg_gpio_device_run(&bench.device));
	CHECK_EQ(bench.events, 2);
}

/* Else a line of a level type would skip numbers: events that seem lost. */
static void a_level_interrupt_is_silent_until_the_rearm(void)
{
	CHECK_EQ(arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH), 0);
	for (int n = 0; n < 3; n++) {
		board_drive(bench.a, 1);
		board_drive(bench.a, 0);
	}
	CHECK_EQ(bench.a->interrupts, 1);
	request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.a, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	CHECK(rpmsg_gpio_device_run(&bench.device));
	request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.a, VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH);
	CHECK_EQ(bench.a->interrupts, 1);
	board_drive(bench.a, 1);
	CHECK_EQ(bench.a->interrupts, 2);
}

static void a_button_brings_its_released_level(void)
{
	board_button(bench.a, 0, 0, 0);
	CHECK_EQ(bench.a->level, 1);
	board_press(bench.a, true);
	CHECK_EQ(bench.a->level, 0);
	board_press(bench.a, true);
	CHECK_EQ(bench.a->edges, 2);
	board_press(bench.a, false);
	CHECK_EQ(bench.a->level, 1);
}

static void a_button_bounces_and_settles(void)
{
	board_button(bench.a, 1, 3, NS_PER_MS);
	board_press(bench.a, true);
	CHECK_EQ(bench.a->edges, 1);
	loop_advance(bench.loop, NS_PER_MS);
	CHECK_EQ(bench.a->edges, 2);
	CHECK_EQ(bench.a->level, 0);
	loop_advance(bench.loop, 100 * NS_PER_MS);
	CHECK_EQ(bench.a->edges, 7);
	CHECK_EQ(bench.a->level, 1);
	board_press(bench.a, false);
	loop_advance(bench.loop, 100 * NS_PER_MS);
	CHECK_EQ(bench.a->edges, 14);
	CHECK_EQ(bench.a->level, 0);
}

static void pulses_come_in_exact_number_and_time(void)
{
	board_pulse(bench.a, 3, 500); /* an edge each ms, the first at once */
	CHECK(board_busy(bench.a));
	loop_advance(bench.loop, 0);
	CHECK_EQ(bench.a->edges, 1);
	loop_advance(bench.loop, NS_PER_MS - 1);
	CHECK_EQ(bench.a->edges, 1);
	loop_advance(bench.loop, 1);
	CHECK_EQ(bench.a->edges, 2);
	loop_advance(bench.loop, 1000 * NS_PER_MS);
	CHECK_EQ(bench.a->edges, 6);
	CHECK_EQ(bench.a->level, 0);
	CHECK(!board_busy(bench.a));
}

static void a_fast_train_loses_no_edge(void)
{
	board_pull(bench.a, 1);
	board_pulse(bench.a, 50000, 333333);
	loop_advance(bench.loop, 1000 * NS_PER_MS);
	CHECK_EQ(bench.a->edges, 1 + 100000);
	CHECK_EQ(bench.a->level, 1);
}

static void a_clock_keeps_its_rate_over_seconds(void)
{
	board_clock(bench.a, 3); /* 6 edges a second: no whole number of ns */
	loop_advance(bench.loop, 10000 * NS_PER_MS - 1);
	CHECK_EQ(bench.a->edges, 60);
	loop_advance(bench.loop, 1);
	CHECK_EQ(bench.a->edges, 61);
	board_clock_off(bench.a);
	CHECK_EQ(bench.a->level, 0);
	loop_advance(bench.loop, 10000 * NS_PER_MS);
	CHECK_EQ(bench.a->edges, 62);
}

/* A driver that re-arms after each event sees every edge. */
static void a_closed_loop_waits_for_the_driver(void)
{
	board_pulse(bench.a, 100, 0);
	board_run_closed_loops(bench.board);
	CHECK_EQ(bench.a->edges, 0);
	CHECK_EQ(arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH), 0);
	for (int i = 0; i < 1000 && board_busy(bench.a); i++) {
		board_run_closed_loops(bench.board);
		CHECK(rpmsg_gpio_device_run(&bench.device));
		board_run_closed_loops(bench.board); /* not before the re-arm */
		request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	}
	CHECK_EQ(bench.a->edges, 200);
	CHECK_EQ(bench.events, 200);
}

/* Both trains are on one net: whichever ends first must not upset the walk. */
static void closed_loops_may_share_a_net(void)
{
	CHECK(board_wire(bench.board, bench.a, bench.b));
	CHECK_EQ(arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING), 0);
	CHECK_EQ(arm(bench.b, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING), 0);
	board_pulse(bench.a, 5000, 0);
	board_pulse(bench.b, 1, 0);
	for (int i = 0; i < 20000 && (board_busy(bench.a) || board_busy(bench.b)); i++) {
		board_run_closed_loops(bench.board);
		CHECK(rpmsg_gpio_device_run(&bench.device));
		request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
		request(VIRTIO_GPIO_MSG_SET_IRQ_TYPE, bench.b, VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING);
	}
	CHECK(!board_busy(bench.a));
	CHECK(!board_busy(bench.b));
	CHECK(!bench.board->closed_loop);
}

static void a_reset_frees_the_pins(void)
{
	board_pull(bench.a, 1);
	CHECK_EQ(output(bench.a, 0), 0);
	CHECK_EQ(arm(bench.b, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH), 0);
	CHECK_EQ(bench.a->level, 0);
	board_reset_firmware(bench.board);
	CHECK_EQ(bench.a->level, 1);
	board_drive(bench.b, 1);
	CHECK_EQ(bench.b->interrupts, 0);
}

/* ---- the loop's timers ------------------------------------------------------- */

struct order {
	struct loop_timer timers[3];
	int fired[8];
	int count;
	struct loop *loop;
};

static struct order order;

static void note(void *context)
{
	const struct loop_timer *timer = context;

	order.fired[order.count++] = (int)(timer - order.timers);
	if (timer == &order.timers[0])
		loop_timer_cancel(order.loop, &order.timers[1]);
}

static void timers_fire_in_order_and_can_be_cancelled(void)
{
	uint64_t now = loop_now(bench.loop);

	order = (struct order){.loop = bench.loop};
	for (int i = 0; i < 3; i++)
		order.timers[i] = (struct loop_timer){.fn = note, .context = &order.timers[i]};
	loop_timer_set(bench.loop, &order.timers[2], now + 30);
	loop_timer_set(bench.loop, &order.timers[1], now + 20);
	loop_timer_set(bench.loop, &order.timers[0], now + 50);
	loop_timer_set(bench.loop, &order.timers[0], now + 10);
	loop_advance(bench.loop, 100);
	CHECK_EQ(order.count, 2);
	CHECK_EQ(order.fired[0], 0);
	CHECK_EQ(order.fired[1], 2);
	CHECK_EQ(loop_now(bench.loop), now + 100);
}

#define ON_A_BOARD(test) \
	do { \
		set_up(); \
		RUN(test); \
		tear_down(); \
	} while (0)

/* ---- many at once, line configuration, the clock ---------------------------- */

static void many_outputs_change_in_one_step(void)
{
	uint64_t step;

	CHECK(board_wire(bench.board, bench.c, bench.d));
	output(bench.a, 0);
	output(bench.b, 1);
	output(bench.c, 0);
	step = bench.board->step;
	CHECK(board_port.set_values(bench.controller, 0, 7, 5));
	CHECK_EQ(bench.board->step, step + 1);
	CHECK_EQ(bench.a->level, 1);
	CHECK_EQ(bench.b->level, 0);
	CHECK_EQ(bench.d->level, 1); /* the wire follows in the same step */
	CHECK_EQ(bench.a->edge_step, step + 1);
	CHECK_EQ(bench.b->edge_step, step + 1);
	CHECK_EQ(bench.d->edge_step, step + 1);
	CHECK_EQ(bench.b->edge_ns, bench.d->edge_ns);
	/* One after the other is not one step. */
	request(VIRTIO_GPIO_MSG_SET_VALUE, bench.a, 0);
	request(VIRTIO_GPIO_MSG_SET_VALUE, bench.b, 1);
	CHECK_EQ(bench.b->edge_step, bench.a->edge_step + 1);
}

static bool configure(const struct board_pin *pin, uint32_t flags, uint32_t debounce_us)
{
	return board_port.set_config(bench.controller, pin->offset, flags, debounce_us);
}

static void the_firmware_pulls_and_lets_go(void)
{
	CHECK(configure(bench.a, RPMSG_GPIO_LINE_PULL_UP, 0));
	CHECK_EQ(bench.a->level, 1);
	CHECK(configure(bench.a, RPMSG_GPIO_LINE_PULL_DOWN, 0));
	CHECK_EQ(bench.a->level, 0);
	CHECK(configure(bench.a, RPMSG_GPIO_LINE_OPEN_DRAIN, 0));
	output(bench.a, 1);
	CHECK_EQ(bench.a->level, 0);
	board_pull(bench.a, 1);
	CHECK_EQ(bench.a->level, 1);
	board_drive(bench.a, 0);
	CHECK_EQ(bench.board->fights, 0); /* it does not drive high */
	board_drive(bench.a, BOARD_FLOAT);
	request(VIRTIO_GPIO_MSG_SET_VALUE, bench.a, 0);
	CHECK_EQ(bench.a->level, 0);
	CHECK(configure(bench.a, RPMSG_GPIO_LINE_OPEN_SOURCE, 0));
	CHECK_EQ(bench.a->level, 1); /* the board's pull */
	board_reset_firmware(bench.board);
	CHECK_EQ(bench.a->config, 0);
}

static void the_firmware_debounces(void)
{
	arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	CHECK(configure(bench.a, 0, 5000));
	for (int i = 0; i < 10; i++) {
		board_drive(bench.a, i & 1);
		loop_advance(bench.loop, 4 * NS_PER_MS);
	}
	CHECK_EQ(bench.a->interrupts, 0);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, bench.a, 0), 0);
	loop_advance(bench.loop, NS_PER_MS - 1);
	CHECK_EQ(bench.a->interrupts, 0);
	loop_advance(bench.loop, 1);
	CHECK_EQ(bench.a->interrupts, 1);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, bench.a, 0), 1);
	/* Back within the time: nothing was. */
	board_drive(bench.a, 0);
	loop_advance(bench.loop, NS_PER_MS);
	board_drive(bench.a, 1);
	loop_advance(bench.loop, 100 * NS_PER_MS);
	CHECK_EQ(bench.a->interrupts, 1);
	/* Without the filter the level is there at once. */
	board_drive(bench.a, 0);
	CHECK(configure(bench.a, 0, 0));
	CHECK_EQ(bench.a->interrupts, 2);
}

/* Pull and filter go in the same instant, and with them the level that waited. */
static void a_configuration_is_one_change(void)
{
	CHECK(configure(bench.a, RPMSG_GPIO_LINE_PULL_UP, 5000));
	CHECK_EQ(bench.a->level, 1);
	CHECK_EQ(request(VIRTIO_GPIO_MSG_GET_VALUE, bench.a, 0), 0);
	arm(bench.a, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
	CHECK(configure(bench.a, RPMSG_GPIO_LINE_PULL_DOWN, 0));
	CHECK_EQ(bench.a->level, 0);
	CHECK_EQ(bench.a->interrupts, 0);
}

static void the_clock_has_its_own_start_and_rate(void)
{
	uint64_t start = loop_now(bench.loop);

	CHECK_EQ(board_device_time(bench.board, loop_now(bench.loop)) - start, 0);
	board_clock_shift(bench.board, 7200000 * (int64_t)NS_PER_MS);
	board_clock_drift(bench.board, 100);
	loop_advance(bench.loop, 10000 * NS_PER_MS);
	CHECK_EQ(board_device_time(bench.board, loop_now(bench.loop)) - start, 7210001 * NS_PER_MS);
	board_clock_drift(bench.board, -100);
	loop_advance(bench.loop, 10000 * NS_PER_MS);
	CHECK_EQ(board_device_time(bench.board, loop_now(bench.loop)) - start, 7220000 * NS_PER_MS);
	board_clock_shift(bench.board, -7200000 * (int64_t)NS_PER_MS);
	CHECK_EQ(board_device_time(bench.board, loop_now(bench.loop)), loop_now(bench.loop));
}

static void a_trace_notes_the_true_times(void)
{
	uint64_t start = loop_now(bench.loop);

	CHECK(board_trace(bench.a, 3));
	board_pulse(bench.a, 2, 500);
	loop_advance(bench.loop, 10 * NS_PER_MS);
	CHECK_EQ(bench.a->trace.count, 3);
	CHECK_EQ(bench.a->trace.times[2] - start, 2 * NS_PER_MS);
	CHECK(board_trace(bench.a, 1));
	CHECK_EQ(bench.a->trace.count, 0);
}

int main(void)
{
	ON_A_BOARD(finds_lines_by_name_and_offset);
	ON_A_BOARD(pulls_decide_when_nobody_drives);
	ON_A_BOARD(a_wire_joins_and_unwire_parts);
	ON_A_BOARD(a_second_way_keeps_the_net_together);
	ON_A_BOARD(low_wins_a_fight);
	ON_A_BOARD(only_matching_edges_interrupt);
	ON_A_BOARD(a_level_interrupt_looks_at_each_rearm);
	ON_A_BOARD(a_level_interrupt_is_silent_until_the_rearm);
	ON_A_BOARD(a_button_brings_its_released_level);
	ON_A_BOARD(a_button_bounces_and_settles);
	ON_A_BOARD(pulses_come_in_exact_number_and_time);
	ON_A_BOARD(a_fast_train_loses_no_edge);
	ON_A_BOARD(a_clock_keeps_its_rate_over_seconds);
	ON_A_BOARD(a_closed_loop_waits_for_the_driver);
	ON_A_BOARD(closed_loops_may_share_a_net);
	ON_A_BOARD(a_reset_frees_the_pins);
	ON_A_BOARD(timers_fire_in_order_and_can_be_cancelled);
	ON_A_BOARD(many_outputs_change_in_one_step);
	ON_A_BOARD(the_firmware_pulls_and_lets_go);
	ON_A_BOARD(the_firmware_debounces);
	ON_A_BOARD(a_configuration_is_one_change);
	ON_A_BOARD(the_clock_has_its_own_start_and_rate);
	ON_A_BOARD(a_trace_notes_the_true_times);
	return check_report();
}
