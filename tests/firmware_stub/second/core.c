/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The firmware core on the stub's board, as a filter: a build and what happens to it on
 * standard input, what the core sends on standard output. differential.py writes and reads it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "rpmsg_gpio_device.h"

#define EDGES 1024
#define END_OF_STEP 0xffffu

static struct loop *loop;
static struct board *board;
static struct board_controller *pins;
static struct rpmsg_gpio_device device;
static struct rpmsg_gpio_device_config config;

static void read_exactly(void *to, size_t size)
{
	if (fread(to, 1, size, stdin) != size) {
		fprintf(stderr, "core: the input ends in the middle\n");
		exit(2);
	}
}

static uint64_t read_number(size_t size)
{
	uint8_t bytes[8];
	uint64_t number = 0;

	read_exactly(bytes, size);
	while (size)
		number = number << 8 | bytes[--size];
	return number;
}

static void *read_block(size_t size)
{
	void *block = calloc(1, size + 1);

	if (!block)
		exit(2);
	read_exactly(block, size);
	return block;
}

static void write_16(unsigned int number)
{
	putchar((int)(number & 0xff));
	putchar((int)(number >> 8));
}

static bool channel_send(void *context, const void *message, size_t length)
{
	(void)context;
	write_16((unsigned int)length);
	fwrite(message, 1, length, stdout);
	return true;
}

static struct rpmsg_gpio_channel channel = {.send = channel_send};

/* ---- the build ---------------------------------------------------------------- */

static void read_board(uint16_t ngpio)
{
	loop = loop_new();
	loop_step_mode(loop);
	board = board_new(loop);
	pins = board_add_controller(board, 0, ngpio);
	board->clock.device_ns = read_number(8);
	board->fights = 1u << 16; /* it need not speak of them any more */
	for (uint16_t i = 0; i < ngpio; i++)
		pins->pins[i].caps = (uint32_t)read_number(4);
	for (uint16_t i = 0; i < ngpio; i++)
		board_pull(&pins->pins[i], (int8_t)read_number(1));
	for (uint64_t wires = read_number(2); wires; wires--) {
		uint64_t a = read_number(2), b = read_number(2);

		board_wire(board, &pins->pins[a], &pins->pins[b]);
	}
}

static void read_build(void)
{
	config.ngpio = (uint16_t)read_number(2);
	config.dialect = read_number(1) ? RPMSG_GPIO_DIALECT_PADDED : RPMSG_GPIO_DIALECT_DOCUMENTED;
	config.strict = read_number(1);
	config.features = (uint32_t)read_number(4);
	config.epoch = (uint32_t)read_number(4);
	channel.event_max = (uint16_t)read_number(2);
	config.label = read_block(read_number(1));
	config.names_size = (uint32_t)read_number(4);
	config.names = read_block(config.names_size);
	read_board(config.ngpio);
	config.lines = calloc(config.ngpio, sizeof(*config.lines));
	config.streams = calloc(config.ngpio, sizeof(*config.streams));
	config.edges = calloc(EDGES, sizeof(*config.edges));
	config.edge_count = EDGES;
	config.port = &board_port;
	config.port_context = pins;
	config.channel = &channel;
	rpmsg_gpio_device_init(&device, &config);
	pins->device = &device;
}

static void free_build(void)
{
	pins->device = NULL;
	board_free(board);
	loop_free(loop);
	free((void *)config.label);
	free((void *)config.names);
	free(config.lines);
	free(config.streams);
	free((void *)config.edges);
}

/* ---- what happens --------------------------------------------------------------- */

static void receive(void)
{
	size_t length = read_number(2);
	void *message = read_block(length);

	if (!rpmsg_gpio_device_receive(&device, message, length)) {
		fprintf(stderr, "core: a message was not taken\n");
		exit(1);
	}
	free(message);
}

static void drive(void)
{
	uint64_t line = read_number(2);

	board_drive(&pins->pins[line], (int8_t)read_number(1));
}

int main(void)
{
	int what;

	read_build();
	while ((what = getchar()) != EOF) {
		if (what == 'M')
			receive();
		else if (what == 'D')
			drive();
		else
			loop_advance(loop, read_number(8));
		do
			rpmsg_gpio_device_run(&device);
		while (device.pending);
		write_16(END_OF_STEP);
	}
	free_build();
	return fflush(stdout) != 0;
}
