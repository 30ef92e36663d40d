/* SPDX-License-Identifier: BSD-3-Clause */
/* The self-test of a board: what it finds, what it leaves alone, and how it leaves the lines. */
#include "check.h"
#include "rpmsg_gpio_self_test.h"

#define NGPIO 5
#define FIFO 4
#define OUT VIRTIO_GPIO_DIRECTION_OUT
#define IN VIRTIO_GPIO_DIRECTION_IN
#define NONE VIRTIO_GPIO_DIRECTION_NONE
#define BOTH VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH

/* A wire leads from line 1 to line 2. */
#define WIRED_OUT 1u
#define WIRED_IN 2u

static struct {
	uint8_t direction[NGPIO], output[NGPIO], irq_type[NGPIO], seen;
	unsigned int driven; /* how often */
	bool torn, deaf, no_irq, refuses, late;
	int stuck; /* a line, and its level; -1: none */
	uint8_t stuck_level;
} board;

static struct rpmsg_gpio_line lines[NGPIO];
static struct rpmsg_gpio_stream streams[NGPIO];
static volatile struct rpmsg_gpio_edge edges[FIFO];
static struct rpmsg_gpio_device device;
static struct rpmsg_gpio_device_config config;
static char told[256];

static uint8_t level(uint16_t gpio)
{
	if (gpio == board.stuck)
		return board.stuck_level;
	if (gpio == WIRED_IN && !board.torn)
		return level(WIRED_OUT);
	return board.direction[gpio] == OUT && board.output[gpio];
}

static void settle(void)
{
	uint8_t now = level(WIRED_IN);

	if (now != board.seen && board.irq_type[WIRED_IN] == BOTH && !board.deaf)
		rpmsg_gpio_device_edge(&device, WIRED_IN, now, 1);
	board.seen = now;
}

static bool set_value(void *context, uint16_t gpio, uint8_t value)
{
	(void)context;
	CHECK_EQ(board.direction[gpio], OUT);
	board.driven++;
	board.output[gpio] = value;
	settle();
	return true;
}

static bool set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	(void)context;
	if (board.refuses && direction == OUT)
		return false;
	board.direction[gpio] = direction;
	board.output[gpio] = value;
	settle();
	return true;
}

/* A slow pin shows its level at the third look. */
static bool get_value(void *context, uint16_t gpio, uint8_t *value)
{
	static unsigned int looks;

	(void)context;
	*value = level(gpio);
	if (board.late && ++looks % 3)
		*value = !*value;
	return true;
}

static bool set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	(void)context;
	if (board.no_irq && type == BOTH)
		return false;
	board.irq_type[gpio] = type;
	return true;
}

static bool nowhere(void *context, const void *message, size_t length)
{
	(void)context;
	(void)message;
	(void)length;
	return true;
}

static const struct rpmsg_gpio_port port = {
	.set_direction = set_direction,
	.set_value = set_value,
	.get_value = get_value,
	.set_irq_type = set_irq_type,
};
static const struct rpmsg_gpio_channel channel = {.send = nowhere};

static void boot(bool with_streams)
{
	memset(&board, 0, sizeof(board));
	board.stuck = -1;
	config = (struct rpmsg_gpio_device_config){
		.port = &port,
		.channel = &channel,
		.lines = lines,
		.ngpio = NGPIO,
		.features = RPMSG_GPIO_F_COUNTERS,
	};
	if (with_streams) {
		config.streams = streams;
		config.edges = edges;
		config.edge_count = FIFO;
	}
	rpmsg_gpio_device_init(&device, &config);
}

static void note(void *context, uint16_t gpio, const char *what)
{
	CHECK(context == &board);
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%u %s. ", gpio, what);
}

static uint32_t check_board(void)
{
	static const uint16_t outputs[] = {0, 3};
	static const struct rpmsg_gpio_self_test_wire wires[] = {{WIRED_OUT, WIRED_IN}};
	const struct rpmsg_gpio_self_test test = {
		.outputs = outputs,
		.output_count = 2,
		.wires = wires,
		.wire_count = 1,
		.fault = note,
		.context = &board,
	};
	uint32_t faults;

	told[0] = '\0';
	faults = rpmsg_gpio_self_test(&device, &test);
	CHECK_EQ(device.counters.self_test, faults + 1);
	return faults;
}

/* As after a reset, also in the hardware. */
static void check_untouched(void)
{
	uint16_t gpio;

	CHECK(rpmsg_gpio_device_run(&device));
	CHECK_EQ(device.counters.sent, 0);
	for (gpio = 0; gpio < NGPIO; gpio++) {
		CHECK_EQ(board.direction[gpio], NONE);
		CHECK_EQ(board.irq_type[gpio], VIRTIO_GPIO_IRQ_TYPE_NONE);
		CHECK_EQ(lines[gpio].fired, 0);
	}
}

static void sound_board(bool with_streams)
{
	boot(with_streams);
	CHECK_EQ(check_board(), 0);
	CHECK(!strcmp(told, ""));
	CHECK_EQ(board.driven, 2 * 2 + 2);
	check_untouched();
	board.late = true;
	CHECK_EQ(check_board(), 0);
}

static void faulty_board(bool with_streams)
{
	boot(with_streams);
	board.stuck = 3;
	CHECK_EQ(check_board(), 1);
	CHECK(!strcmp(told, "3 is low, driven high. "));
	board.stuck_level = 1;
	CHECK_EQ(check_board(), 1);
	CHECK(!strcmp(told, "3 is high, driven low. "));
	board.stuck = -1;
	board.torn = true;
	CHECK_EQ(check_board(), 1);
	CHECK(!strcmp(told, "2 does not follow its wire. "));
	board.torn = false;
	board.deaf = true;
	CHECK_EQ(check_board(), 1);
	CHECK(!strcmp(told, "2 has no interrupt at an edge. "));
	board.no_irq = true;
	CHECK_EQ(check_board(), 1);
	CHECK(!strcmp(told, "2 refuses an interrupt at both edges. "));
	board.refuses = true;
	CHECK_EQ(check_board(), 3);
	CHECK(!strcmp(told, "0 cannot be an output. 3 cannot be an output. 2 does not follow its wire. "));
	check_untouched();
}

static void lines_that_a_driver_uses_are_left_alone(void)
{
	boot(true);
	lines[0].direction = OUT;
	lines[3].irq_type = BOTH;
	lines[WIRED_IN].direction = IN;
	board.refuses = true;
	CHECK_EQ(check_board(), 0);
	CHECK_EQ(board.driven, 0);
}

static void a_line_that_does_not_exist_is_a_fault(void)
{
	static const uint16_t outputs[] = {NGPIO};
	static const struct rpmsg_gpio_self_test_wire wires[] = {{0, NGPIO}, {NGPIO, 0}};
	const struct rpmsg_gpio_self_test test = {
		.outputs = outputs,
		.output_count = 1,
		.wires = wires,
		.wire_count = 2,
	};

	boot(true);
	CHECK_EQ(rpmsg_gpio_self_test(&device, &test), 3);
	CHECK_EQ(board.driven, 0);
}

static void a_sound_board_has_no_fault(void)
{
	sound_board(false);
	sound_board(true);
}

static void each_fault_is_told(void)
{
	faulty_board(false);
	faulty_board(true);
}

int main(void)
{
	RUN(a_sound_board_has_no_fault);
	RUN(each_fault_is_told);
	RUN(lines_that_a_driver_uses_are_left_alone);
	RUN(a_line_that_does_not_exist_is_a_fault);
	return check_report();
}
