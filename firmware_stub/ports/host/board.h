/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * board.h - the simulated board around the coprocessor.
 *
 * Pins are joined by wires into nets. The level of a net follows from all that
 * drives it: outputs of the firmware and sources from outside (a program, a
 * button, a clock). Low wins a fight; pulls decide when nobody drives; a net
 * without any of these reads low. Edges on a pin whose interrupt is enabled go
 * to the firmware.
 */
#ifndef HOST_BOARD_H
#define HOST_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stub_loop.h"
#include "rpmsg_gpio_device.h"

#define BOARD_CONTROLLERS_MAX 256
#define BOARD_NAME_MAX 31 /* what struct gpio_v2_line_info can show */
#define BOARD_HZ_MAX 1000000u
#define BOARD_DEBOUNCE_MAX_US 1000000u
#define BOARD_DRIFT_MAX_PPM 1000
#define BOARD_TRACE_MAX 1000000u

/* What drives a net: nothing, low or high. Also used for pulls. */
#define BOARD_FLOAT (-1)

/* The clock of the coprocessor: it starts elsewhere and runs at another rate. */
struct board_clock {
	uint64_t board_ns;  /* one instant, in board time... */
	uint64_t device_ns; /* ...and as this clock shows it */
	int32_t drift_ppm;
};

/* The true times of the edges of a pin, for checks of timestamps. */
struct board_trace {
	uint64_t *times; /* board time, ns */
	size_t count, room;
};

/* A train of edges from outside. It wins over every other source of its pin. */
struct board_wave {
	struct loop_timer timer;
	bool running;
	bool endless;       /* a clock */
	bool bounce;        /* a button settling */
	bool closed_loop;   /* the next edge waits until the interrupt is armed */
	int8_t values[2];   /* driven by edges 0, 2, 4... and 1, 3, 5... */
	int8_t value;       /* driven now */
	uint64_t edges_left;
	uint64_t start_ns;  /* edge i is due at start + i * per_ns / per_edges */
	uint64_t edge;      /* i, counted within the period */
	uint64_t per_ns;
	uint64_t per_edges; /* even */
};

struct board_controller;

struct board_pin {
	struct board_controller *controller;
	uint16_t offset;
	char name[BOARD_NAME_MAX + 1]; /* "" when it has none */
	struct board_pin *next;        /* ring of all pins of the net */
	/* the firmware's side */
	uint8_t direction;
	uint8_t irq_type;
	bool irq_silent;   /* a level interrupt that fired, until it is set again */
	int8_t output;     /* as the firmware set it; open-drain and -source count later */
	uint32_t caps;     /* RPMSG_GPIO_LINE_* that this pin can do */
	uint32_t config;   /* RPMSG_GPIO_LINE_* in force */
	uint64_t debounce_ns;
	struct loop_timer debounce_timer;
	uint8_t seen;      /* the level behind the debounce filter */
	/* the outside */
	int8_t pull;
	int8_t drive;
	bool is_button;
	bool pressed;
	int8_t active;
	unsigned int bounces;
	uint64_t bounce_ns;
	struct board_wave wave;
	struct board_pin *next_closed_loop;
	/* what is seen */
	uint8_t level;
	bool fighting;
	uint64_t edges;
	uint64_t interrupts;
	uint64_t edge_ns;   /* of the latest edge, board time */
	uint64_t edge_step; /* and the firmware's step then */
	struct board_trace trace;
};

struct board_controller {
	struct board *board;
	unsigned int index;
	bool raw; /* announced as rpmsg-raw instead of rpmsg-io-<index> */
	char label[RPMSG_GPIO_LABEL_SIZE + 1];
	uint16_t ngpio;
	struct board_pin *pins;
	/* Who takes this controller's interrupts; NULL before power-up. */
	struct rpmsg_gpio_device *device;
};

struct board_wire {
	struct board_pin *a, *b;
};

struct board {
	struct loop *loop;
	struct board_controller *controllers[BOARD_CONTROLLERS_MAX]; /* by index */
	struct board_wire *wires;
	size_t wire_count;
	struct board_pin *closed_loop; /* pins with a closed-loop wave */
	unsigned int fights;           /* between drivers, so far */
	struct board_clock clock;
	/* All that the firmware does to pins in one go is one step: it happens at the same
	 * instant. */
	uint64_t step;
	bool stepping;
	uint64_t step_ns;
};

/* The gpio port of the firmware core; its context is a board_controller. */
extern const struct rpmsg_gpio_port board_port;

struct board *board_new(struct loop *loop);
void board_free(struct board *board);

/* Returns NULL without memory. The index must be free. */
struct board_controller *board_add_controller(struct board *board, unsigned int index,
					      uint16_t ngpio);
/* By name (the first controller that has it), or CONTROLLER/OFFSET. */
struct board_pin *board_find(const struct board *board, const char *name);
/* By name in one controller. */
struct board_pin *board_find_in(const struct board_controller *controller, const char *name);

/* Returns false without memory. Joining what is joined already does nothing. */
bool board_wire(struct board *board, struct board_pin *a, struct board_pin *b);
/* Returns false when there is no such wire. */
bool board_unwire(struct board *board, struct board_pin *a, struct board_pin *b);

void board_pull(struct board_pin *pin, int8_t pull);
void board_drive(struct board_pin *pin, int8_t value);
void board_button(struct board_pin *pin, int8_t active, unsigned int bounces,
		  uint64_t bounce_ns);
void board_press(struct board_pin *pin, bool pressed);

/* Whether a pulse train or a clock runs (a bouncing button does not count). */
bool board_busy(const struct board_pin *pin);
/* `count` full pulses, 2 * count edges, as a square wave of hz; hz 0: each edge
 * waits until the interrupt is armed. The pin must not be busy. */
void board_pulse(struct board_pin *pin, uint64_t count, uint32_t hz);
void board_clock(struct board_pin *pin, uint32_t hz);
void board_clock_off(struct board_pin *pin);

/* Emit the edges of closed-loop waves whose interrupt is armed now. The number is bounded. */
void board_run_closed_loops(struct board *board);
/* Whether that would emit one now. */
bool board_closed_loop_ready(const struct board *board);

/* What the coprocessor's clock shows at a board time that is not long past. The other two set
 * that clock on or back, or let it run at another rate, as no real clock of a coprocessor would. */
uint64_t board_device_time(const struct board *board, uint64_t board_ns);
void board_clock_shift(struct board *board, int64_t ns);
void board_clock_drift(struct board *board, int32_t ppm);

/* Note the times of the next `room` edges. Returns false without memory. */
bool board_trace(struct board_pin *pin, size_t room);

/* The firmware was reset: its outputs float, its interrupts are disabled. */
void board_reset_firmware(struct board *board);

#endif
