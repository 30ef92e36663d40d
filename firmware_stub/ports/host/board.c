/* SPDX-License-Identifier: BSD-3-Clause */
#include "board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
/* Edges that one call emits before others get their turn. */
#define EDGES_PER_CALL 4096
/* A pulse train and an output that drive against each other fight at every edge: the log says it
 * a few times only. */
#define FIGHTS_LOGGED 16

/* ---- levels -------------------------------------------------------------- */

/* What the outside drives a pin with. */
static int8_t outside_of(const struct board_pin *pin)
{
	if (pin->wave.running)
		return pin->wave.value;
	return pin->pressed ? pin->active : pin->drive;
}

/* What the firmware drives a pin with: open-drain lets go of high. */
static int8_t output_of(const struct board_pin *pin)
{
	if (pin->config & RPMSG_GPIO_LINE_OPEN_DRAIN && pin->output == 1)
		return BOARD_FLOAT;
	if (pin->config & RPMSG_GPIO_LINE_OPEN_SOURCE && pin->output == 0)
		return BOARD_FLOAT;
	return pin->output;
}

struct net_drivers {
	bool low, high;
	bool pull_down, pull_up;
};

static void add_driver(struct net_drivers *drivers, int8_t value)
{
	drivers->low |= value == 0;
	drivers->high |= value == 1;
}

static struct net_drivers drivers_of(const struct board_pin *pin)
{
	struct net_drivers drivers = {0};
	const struct board_pin *at = pin;

	do {
		add_driver(&drivers, output_of(at));
		add_driver(&drivers, outside_of(at));
		drivers.pull_down |= at->pull == 0 || at->config & RPMSG_GPIO_LINE_PULL_DOWN;
		drivers.pull_up |= at->pull == 1 || at->config & RPMSG_GPIO_LINE_PULL_UP;
		at = at->next;
	} while (at != pin);
	return drivers;
}

static uint8_t level_of(const struct net_drivers *drivers)
{
	if (drivers->low || drivers->high)
		return !drivers->low;
	return drivers->pull_up && !drivers->pull_down;
}

static void report_fight(struct board_pin *pin, bool fighting)
{
	if (fighting && !pin->fighting && pin->controller->board->fights++ < FIGHTS_LOGGED)
		fprintf(stderr, "firmware-stub: two drivers fight on %u/%u%s%s: low wins\n",
			pin->controller->index, pin->offset, pin->name[0] ? " " : "",
			pin->name);
	pin->fighting = fighting;
}

static bool edge_fires(uint8_t irq_type, uint8_t level)
{
	uint8_t wanted = level ? VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING | VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH
			       : VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;

	return irq_type & wanted;
}

/* Time stands still within a step of the firmware. */
static uint64_t board_now(const struct board *board)
{
	return board->stepping ? board->step_ns : loop_now(board->loop);
}

static void begin_step(struct board *board)
{
	board->step++;
	board->stepping = true;
	board->step_ns = loop_now(board->loop);
}

static void end_step(struct board *board)
{
	board->stepping = false;
}

uint64_t board_device_time(const struct board *board, uint64_t board_ns)
{
	const struct board_clock *clock = &board->clock;
	uint64_t since = board_ns - clock->board_ns;
	int64_t drift = (int64_t)(since / 1000000) * clock->drift_ppm +
			(int64_t)(since % 1000000) * clock->drift_ppm / 1000000;

	return clock->device_ns + since + (uint64_t)drift;
}

void board_clock_shift(struct board *board, int64_t ns)
{
	board->clock.device_ns += (uint64_t)ns;
}

void board_clock_drift(struct board *board, int32_t ppm)
{
	uint64_t now = board_now(board);

	board->clock.device_ns = board_device_time(board, now);
	board->clock.board_ns = now;
	board->clock.drift_ppm = ppm;
}

static bool is_level_type(uint8_t irq_type)
{
	return irq_type & (VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH | VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW);
}

static void interrupt(struct board_pin *pin, uint64_t board_ns)
{
	struct rpmsg_gpio_device *device = pin->controller->device;

	if (pin->irq_silent)
		return;
	pin->irq_silent = is_level_type(pin->irq_type);
	pin->interrupts++;
	if (!device)
		return;
	if (is_level_type(pin->irq_type))
		rpmsg_gpio_device_irq(device, pin->offset);
	else
		rpmsg_gpio_device_edge(device, pin->offset, pin->seen,
				       board_device_time(pin->controller->board, board_ns));
}

/* The firmware's input has a new level. */
static void see(struct board_pin *pin, uint8_t level, uint64_t board_ns)
{
	if (pin->seen == level)
		return;
	pin->seen = level;
	if (edge_fires(pin->irq_type, level))
		interrupt(pin, board_ns);
}

static void settled(void *context)
{
	struct board_pin *pin = context;

	see(pin, pin->level, board_now(pin->controller->board));
}

static void note_edge(struct board_pin *pin, uint64_t board_ns)
{
	struct board_trace *trace = &pin->trace;

	pin->edges++;
	pin->edge_ns = board_ns;
	pin->edge_step = pin->controller->board->step;
	if (trace->count < trace->room)
		trace->times[trace->count++] = board_ns;
}

static void set_level(struct board_pin *pin, uint8_t level)
{
	struct board *board = pin->controller->board;
	uint64_t now;

	if (pin->level == level)
		return;
	now = board_now(board);
	pin->level = level;
	note_edge(pin, now);
	/* Each change starts the wait anew: only a level that lasts gets through the filter. */
	if (pin->debounce_ns)
		loop_timer_set(board->loop, &pin->debounce_timer, now + pin->debounce_ns);
	else
		see(pin, level, now);
}

/* Something on the net of this pin changed: find the net's level and tell its pins. */
static void update_net(struct board_pin *pin)
{
	struct net_drivers drivers = drivers_of(pin);
	uint8_t level = level_of(&drivers);
	struct board_pin *at = pin;

	report_fight(pin, drivers.low && drivers.high);
	do {
		at->fighting = pin->fighting;
		set_level(at, level);
		at = at->next;
	} while (at != pin);
}

/* ---- waves --------------------------------------------------------------- */

static uint64_t edge_due(const struct board_wave *wave)
{
	return wave->start_ns + wave->edge * wave->per_ns / wave->per_edges;
}

static void emit_edge(struct board_pin *pin)
{
	struct board_wave *wave = &pin->wave;

	wave->value = wave->values[wave->edge & 1];
	/* The start moves on by whole periods, so that no product can overflow. */
	if (++wave->edge == wave->per_edges) {
		wave->start_ns += wave->per_ns;
		wave->edge = 0;
	}
	if (!wave->endless)
		wave->edges_left--;
	update_net(pin);
}

static void remove_closed_loop(struct board_pin *pin)
{
	struct board_pin **link = &pin->controller->board->closed_loop;

	while (*link && *link != pin)
		link = &(*link)->next_closed_loop;
	if (*link)
		*link = pin->next_closed_loop;
}

static void stop_wave(struct board_pin *pin)
{
	loop_timer_cancel(pin->controller->board->loop, &pin->wave.timer);
	if (pin->wave.closed_loop)
		remove_closed_loop(pin);
	pin->wave.running = false;
	pin->wave.closed_loop = false;
	update_net(pin);
}

static bool wave_ended(const struct board_wave *wave)
{
	return !wave->endless && !wave->edges_left;
}

static void wave_timer(void *context)
{
	struct board_pin *pin = context;
	struct board_wave *wave = &pin->wave;
	struct loop *loop = pin->controller->board->loop;
	uint64_t now = loop_now(loop);

	for (int i = 0; i < EDGES_PER_CALL && !wave_ended(wave) && edge_due(wave) <= now; i++)
		emit_edge(pin);
	if (wave_ended(wave))
		stop_wave(pin);
	else
		loop_timer_set(loop, &wave->timer, edge_due(wave));
}

static void start_wave(struct board_pin *pin, const struct board_wave *wanted)
{
	struct board *board = pin->controller->board;
	struct board_wave *wave = &pin->wave;

	*wave = *wanted;
	wave->running = true;
	wave->timer = (struct loop_timer){.fn = wave_timer, .context = pin};
	wave->start_ns = loop_now(board->loop);
	if (wave->closed_loop) {
		pin->next_closed_loop = board->closed_loop;
		board->closed_loop = pin;
		return;
	}
	/* A bounce starts one interval after the first contact. */
	if (wave->bounce)
		wave->start_ns += wave->per_ns / wave->per_edges;
	loop_timer_set(board->loop, &wave->timer, wave->start_ns);
}

bool board_busy(const struct board_pin *pin)
{
	return pin->wave.running && !pin->wave.bounce;
}

void board_pulse(struct board_pin *pin, uint64_t count, uint32_t hz)
{
	int8_t level = (int8_t)pin->level;

	if (!count)
		return;
	if (pin->wave.running)
		stop_wave(pin);
	start_wave(pin, &(struct board_wave){
		.values = {!level, level},
		.value = level,
		.edges_left = 2 * count,
		.closed_loop = !hz,
		.per_ns = NS_PER_S,
		.per_edges = hz ? 2 * (uint64_t)hz : 2,
	});
}

void board_clock(struct board_pin *pin, uint32_t hz)
{
	int8_t level = (int8_t)pin->level;

	if (pin->wave.running)
		stop_wave(pin);
	start_wave(pin, &(struct board_wave){
		.values = {!level, level},
		.value = level,
		.endless = true,
		.per_ns = NS_PER_S,
		.per_edges = 2 * (uint64_t)hz,
	});
}

void board_clock_off(struct board_pin *pin)
{
	if (pin->wave.running && pin->wave.endless)
		stop_wave(pin);
}

static bool closed_loop_ready(const struct board_pin *pin)
{
	const struct rpmsg_gpio_device *device = pin->controller->device;

	return device && rpmsg_gpio_device_armed(device, pin->offset);
}

static void run_closed_loop(struct board_pin *pin)
{
	for (int i = 0; i < EDGES_PER_CALL && closed_loop_ready(pin); i++) {
		emit_edge(pin);
		if (wave_ended(&pin->wave)) {
			stop_wave(pin);
			return;
		}
	}
}

void board_run_closed_loops(struct board *board)
{
	for (struct board_pin *pin = board->closed_loop, *next; pin; pin = next) {
		next = pin->next_closed_loop;
		run_closed_loop(pin);
	}
}

bool board_closed_loop_ready(const struct board *board)
{
	for (const struct board_pin *pin = board->closed_loop; pin; pin = pin->next_closed_loop)
		if (closed_loop_ready(pin))
			return true;
	return false;
}

bool board_trace(struct board_pin *pin, size_t room)
{
	uint64_t *times = malloc(room * sizeof(*times));

	if (!times)
		return false;
	free(pin->trace.times);
	pin->trace = (struct board_trace){.times = times, .room = room};
	return true;
}

/* ---- the outside --------------------------------------------------------- */

void board_pull(struct board_pin *pin, int8_t pull)
{
	pin->pull = pull;
	update_net(pin);
}

void board_drive(struct board_pin *pin, int8_t value)
{
	pin->drive = value;
	update_net(pin);
}

void board_button(struct board_pin *pin, int8_t active, unsigned int bounces,
		  uint64_t bounce_ns)
{
	pin->is_button = true;
	pin->active = active;
	pin->bounces = bounces;
	pin->bounce_ns = bounce_ns;
	/* A contact alone does not define the level of a released button; a pull does. */
	if (pin->pull == BOARD_FLOAT)
		pin->pull = !active;
	update_net(pin);
}

void board_press(struct board_pin *pin, bool pressed)
{
	int8_t made = pin->active, open = BOARD_FLOAT;

	if (pin->pressed == pressed)
		return;
	if (pin->wave.running)
		stop_wave(pin);
	pin->pressed = pressed;
	if (pin->bounces)
		start_wave(pin, &(struct board_wave){
			.bounce = true,
			.values = {pressed ? open : made, pressed ? made : open},
			.value = pressed ? made : open,
			.edges_left = 2 * (uint64_t)pin->bounces,
			.per_ns = 2 * pin->bounce_ns,
			.per_edges = 2,
		});
	update_net(pin);
}

/* ---- the firmware's side: the gpio port ------------------------------------ */

static bool port_set_direction(void *context, uint16_t gpio, uint8_t direction, uint8_t value)
{
	struct board_controller *controller = context;
	struct board_pin *pin = &controller->pins[gpio];

	begin_step(controller->board);
	pin->direction = direction;
	pin->output = direction == VIRTIO_GPIO_DIRECTION_OUT ? (int8_t)!!value : BOARD_FLOAT;
	update_net(pin);
	end_step(controller->board);
	return true;
}

static bool port_set_value(void *context, uint16_t gpio, uint8_t value)
{
	struct board_controller *controller = context;
	struct board_pin *pin = &controller->pins[gpio];

	if (pin->direction != VIRTIO_GPIO_DIRECTION_OUT)
		return true; /* kept by the core until the direction is set */
	begin_step(controller->board);
	pin->output = (int8_t)!!value;
	update_net(pin);
	end_step(controller->board);
	return true;
}

static bool port_get_value(void *context, uint16_t gpio, uint8_t *value)
{
	const struct board_controller *controller = context;

	*value = controller->pins[gpio].seen;
	return true;
}

/* As with a port register, all outputs change first, and then the wires follow. */
static bool port_set_values(void *context, uint16_t first, uint64_t mask, uint64_t values)
{
	struct board_controller *controller = context;

	begin_step(controller->board);
	for (uint16_t n = 0; n < RPMSG_GPIO_BULK_LINES; n++)
		if (mask >> n & 1)
			controller->pins[first + n].output = values >> n & 1;
	for (uint16_t n = 0; n < RPMSG_GPIO_BULK_LINES; n++)
		if (mask >> n & 1)
			update_net(&controller->pins[first + n]);
	end_step(controller->board);
	return true;
}

static bool port_get_values(void *context, uint16_t first, uint64_t mask, uint64_t *values)
{
	const struct board_controller *controller = context;

	for (uint16_t n = 0; n < RPMSG_GPIO_BULK_LINES; n++)
		if (mask >> n & 1)
			*values |= (uint64_t)controller->pins[first + n].seen << n;
	return true;
}

static bool port_set_irq_type(void *context, uint16_t gpio, uint8_t type)
{
	struct board_controller *controller = context;
	struct board_pin *pin = &controller->pins[gpio];

	pin->irq_type = type;
	pin->irq_silent = false;
	if (is_level_type(type) && edge_fires(type, pin->seen))
		interrupt(pin, board_now(controller->board));
	return true;
}

static uint64_t port_get_time(void *context)
{
	const struct board_controller *controller = context;

	return board_device_time(controller->board, board_now(controller->board));
}

static void port_get_caps(void *context, uint16_t gpio, uint32_t *caps, uint32_t *max_debounce_us)
{
	const struct board_controller *controller = context;

	*caps = controller->pins[gpio].caps;
	*max_debounce_us = *caps & RPMSG_GPIO_LINE_DEBOUNCE ? BOARD_DEBOUNCE_MAX_US : 0;
}

static bool port_set_config(void *context, uint16_t gpio, uint32_t flags, uint32_t debounce_us)
{
	struct board_controller *controller = context;
	struct board_pin *pin = &controller->pins[gpio];
	struct board *board = controller->board;

	begin_step(board);
	pin->config = flags;
	pin->debounce_ns = (uint64_t)debounce_us * 1000;
	loop_timer_cancel(board->loop, &pin->debounce_timer);
	update_net(pin);
	/* A level that waited for the old filter, and is still there, now waits for the new one. */
	if (!pin->debounce_ns)
		see(pin, pin->level, board->step_ns);
	else if (pin->seen != pin->level)
		loop_timer_set(board->loop, &pin->debounce_timer,
			       board->step_ns + pin->debounce_ns);
	end_step(board);
	return true;
}

const struct rpmsg_gpio_port board_port = {
	.set_direction = port_set_direction,
	.set_value = port_set_value,
	.get_value = port_get_value,
	.set_irq_type = port_set_irq_type,
	.get_time = port_get_time,
	.get_values = port_get_values,
	.set_values = port_set_values,
	.get_caps = port_get_caps,
	.set_config = port_set_config,
};

void board_reset_firmware(struct board *board)
{
	for (unsigned int i = 0; i < BOARD_CONTROLLERS_MAX; i++) {
		struct board_controller *controller = board->controllers[i];

		for (uint16_t gpio = 0; controller && gpio < controller->ngpio; gpio++) {
			port_set_irq_type(controller, gpio, VIRTIO_GPIO_IRQ_TYPE_NONE);
			port_set_config(controller, gpio, 0, 0);
			port_set_direction(controller, gpio, VIRTIO_GPIO_DIRECTION_NONE, 0);
		}
	}
}

/* ---- wires ----------------------------------------------------------------- */

static bool same_net(const struct board_pin *a, const struct board_pin *b)
{
	const struct board_pin *at = a;

	do {
		if (at == b)
			return true;
		at = at->next;
	} while (at != a);
	return false;
}

/* Exchanging two of their links makes one ring of two. */
static void join(struct board_pin *a, struct board_pin *b)
{
	struct board_pin *next = a->next;

	if (same_net(a, b))
		return;
	a->next = b->next;
	b->next = next;
}

static bool is_wire(const struct board_wire *wire, const struct board_pin *a,
		    const struct board_pin *b)
{
	return (wire->a == a && wire->b == b) || (wire->a == b && wire->b == a);
}

static size_t find_wire(const struct board *board, const struct board_pin *a,
			const struct board_pin *b)
{
	size_t i = 0;

	while (i < board->wire_count && !is_wire(&board->wires[i], a, b))
		i++;
	return i;
}

bool board_wire(struct board *board, struct board_pin *a, struct board_pin *b)
{
	struct board_wire *wires;

	if (find_wire(board, a, b) < board->wire_count)
		return true;
	wires = realloc(board->wires, (board->wire_count + 1) * sizeof(*wires));
	if (!wires)
		return false;
	board->wires = wires;
	wires[board->wire_count++] = (struct board_wire){a, b};
	join(a, b);
	update_net(a);
	return true;
}

/* Take a net apart into single pins. */
static void split(struct board_pin *pin)
{
	while (pin->next != pin) {
		struct board_pin *next = pin->next;

		pin->next = next->next;
		next->next = next;
	}
}

bool board_unwire(struct board *board, struct board_pin *a, struct board_pin *b)
{
	size_t i = find_wire(board, a, b);

	if (i == board->wire_count)
		return false;
	board->wires[i] = board->wires[--board->wire_count];
	split(a);
	for (i = 0; i < board->wire_count; i++)
		join(board->wires[i].a, board->wires[i].b);
	update_net(a);
	update_net(b);
	return true;
}

/* ---- making and finding ------------------------------------------------------ */

struct board *board_new(struct loop *loop)
{
	struct board *board = calloc(1, sizeof(*board));

	if (board) {
		board->loop = loop;
		board->clock.board_ns = board->clock.device_ns = loop_now(loop);
	}
	return board;
}

static void free_controller(struct board_controller *controller)
{
	if (!controller)
		return;
	for (uint16_t i = 0; i < controller->ngpio; i++) {
		struct board_pin *pin = &controller->pins[i];

		loop_timer_cancel(controller->board->loop, &pin->wave.timer);
		loop_timer_cancel(controller->board->loop, &pin->debounce_timer);
		free(pin->trace.times);
	}
	free(controller->pins);
	free(controller);
}

void board_free(struct board *board)
{
	if (!board)
		return;
	for (unsigned int i = 0; i < BOARD_CONTROLLERS_MAX; i++)
		free_controller(board->controllers[i]);
	free(board->wires);
	free(board);
}

static void init_pin(struct board_controller *controller, uint16_t offset)
{
	struct board_pin *pin = &controller->pins[offset];

	pin->controller = controller;
	pin->offset = offset;
	pin->next = pin;
	pin->output = BOARD_FLOAT;
	pin->caps = RPMSG_GPIO_LINE_BIAS | RPMSG_GPIO_LINE_DRIVE | RPMSG_GPIO_LINE_DEBOUNCE;
	pin->debounce_timer = (struct loop_timer){.fn = settled, .context = pin};
	pin->pull = BOARD_FLOAT;
	pin->drive = BOARD_FLOAT;
}

struct board_controller *board_add_controller(struct board *board, unsigned int index,
					      uint16_t ngpio)
{
	struct board_controller *controller = calloc(1, sizeof(*controller));

	if (!controller)
		return NULL;
	controller->pins = calloc(ngpio, sizeof(*controller->pins));
	if (!controller->pins) {
		free(controller);
		return NULL;
	}
	controller->board = board;
	controller->index = index;
	controller->ngpio = ngpio;
	for (uint16_t i = 0; i < ngpio; i++)
		init_pin(controller, i);
	board->controllers[index] = controller;
	return controller;
}

struct board_pin *board_find_in(const struct board_controller *controller, const char *name)
{
	for (uint16_t i = 0; name[0] && i < controller->ngpio; i++)
		if (!strcmp(controller->pins[i].name, name))
			return &controller->pins[i];
	return NULL;
}

static struct board_pin *find_offset(const struct board *board, const char *name)
{
	unsigned int index, offset;
	char rest;

	if (strspn(name, "0123456789/") != strlen(name) || strlen(name) > 9 ||
	    sscanf(name, "%u/%u%c", &index, &offset, &rest) != 2)
		return NULL;
	if (index >= BOARD_CONTROLLERS_MAX || !board->controllers[index] ||
	    offset >= board->controllers[index]->ngpio)
		return NULL;
	return &board->controllers[index]->pins[offset];
}

struct board_pin *board_find(const struct board *board, const char *name)
{
	for (unsigned int i = 0; i < BOARD_CONTROLLERS_MAX; i++) {
		struct board_pin *pin = NULL;

		if (board->controllers[i])
			pin = board_find_in(board->controllers[i], name);
		if (pin)
			return pin;
	}
	return find_offset(board, name);
}
