/* SPDX-License-Identifier: BSD-3-Clause */
#include "firmware.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Edges between two turns of the loop; more are counted and lost. They are more than an MCU would
 * keep, since this process may wait 65 ms for a CPU while 500,000 edges a second are due. */
#define EDGES 32768

/* At most so many log lines can be caused by a hostile guest. */
#define STRAYS_LOGGED 8

/* ---- messages -------------------------------------------------------------- */

static bool backend_attached(const struct firmware *firmware)
{
	return firmware->backend && rpmsg_backend_attached(firmware->backend);
}

bool firmware_attached(const struct firmware *firmware)
{
	return backend_attached(firmware) || (firmware->serial && serial_port_up(firmware->serial));
}

bool controller_transmit(struct controller *controller, const void *message, size_t length)
{
	return faults_pass(&controller->firmware->faults, FAULT_TX, controller->address,
			   controller->driver, message, (uint16_t)length);
}

/* The message port of the core. Without a driver to speak to, the message has no destination and
 * is lost, as on a board. */
static bool channel_send(void *context, const void *message, size_t length)
{
	struct controller *controller = context;
	const struct message_filter *filter;

	if (!controller->driver_known || !firmware_attached(controller->firmware))
		return true;
	filter = controller->firmware->message_filter;
	return filter ? filter->send(controller, message, length)
		      : controller_transmit(controller, message, length);
}

static const struct rpmsg_gpio_channel channel = {.send = channel_send};
static const struct rpmsg_gpio_channel serial_channel = {
	.send = channel_send,
	.event_max = RPMSG_GPIO_SERIAL_EVENT_MAX,
};

static bool deliver_tx(void *context, uint32_t source, uint32_t destination, const void *message,
		       uint16_t length)
{
	struct firmware *firmware = context;

	if (destination & CONTROLLER_SERIAL)
		return serial_port_send(firmware->serial, (uint8_t)(source - CONTROLLER_ADDRESS),
					(uint8_t)destination, message, length);
	return !backend_attached(firmware) ||
	       rpmsg_backend_send(firmware->backend, source, destination, message, length);
}

static struct controller *find_address(struct firmware *firmware, uint32_t address)
{
	for (unsigned int i = 0; i < firmware->count; i++)
		if (firmware->controllers[i].address == address)
			return &firmware->controllers[i];
	return NULL;
}

static void report_stray(struct firmware *firmware, uint32_t source, uint32_t destination)
{
	if (firmware->strays++ < STRAYS_LOGGED)
		fprintf(stderr,
			"firmware-stub: message from 0x%x to 0x%x dropped: no such endpoint\n",
			source, destination);
}

static bool deliver_rx(void *context, uint32_t source, uint32_t destination, const void *message,
		       uint16_t length)
{
	struct firmware *firmware = context;
	struct controller *controller = find_address(firmware, destination);

	if (!controller) {
		report_stray(firmware, source, destination);
		return true;
	}
	if (!rpmsg_gpio_device_ready(&controller->device))
		return false;
	if (length) { /* else it is no request */
		controller->driver = source;
		controller->driver_known = true;
	}
	controller->config.channel = source & CONTROLLER_SERIAL ? &serial_channel : &channel;
	if (firmware->message_filter)
		return firmware->message_filter->receive(controller, message, length);
	return rpmsg_gpio_device_receive(&controller->device, message, length);
}

/* Linux does not answer an announcement: its first message tells its address. */
static bool tty_received(struct firmware *firmware, uint32_t source, const void *message,
			 uint16_t length)
{
	if (firmware->tty.cable_out)
		return true;
	firmware->tty.driver = source;
	serial_port_plug(firmware->serial, true);
	return serial_port_take(firmware->serial, message, length);
}

static bool tty_send(void *context, const uint8_t *bytes, size_t length)
{
	struct firmware *firmware = context;

	return rpmsg_backend_send(firmware->backend, TTY_ADDRESS, firmware->tty.driver, bytes,
				  (uint16_t)length);
}

static bool received(void *context, uint32_t source, uint32_t destination, const void *message,
		     uint16_t length)
{
	struct firmware *firmware = context;

	if (source & CONTROLLER_SERIAL) {
		report_stray(firmware, source, destination);
		return true;
	}
	if (firmware->tty.offered && destination == TTY_ADDRESS) {
		if (tty_received(firmware, source, message, length))
			return true;
	} else if (faults_pass(&firmware->faults, FAULT_RX, source, destination, message, length))
		return true;
	firmware->held = true;
	return false;
}

static bool serial_received(void *context, uint8_t endpoint, uint8_t port, const void *message,
			    size_t length)
{
	struct firmware *firmware = context;

	return faults_pass(&firmware->faults, FAULT_RX, CONTROLLER_SERIAL | port,
			   CONTROLLER_ADDRESS + (uint32_t)endpoint, message, (uint16_t)length);
}

static bool run_controllers(struct firmware *firmware)
{
	bool all_sent = true;

	for (unsigned int i = 0; i < firmware->count; i++) {
		struct rpmsg_gpio_device *device = &firmware->controllers[i].device;

		if (device->pending || device->reply_length)
			all_sent &= rpmsg_gpio_device_run(device);
	}
	return all_sent;
}

static bool work_left(const struct firmware *firmware)
{
	for (unsigned int i = 0; i < firmware->count; i++)
		if (firmware->controllers[i].device.pending &&
		    !firmware->controllers[i].device.refused)
			return true;
	return false;
}

void firmware_run(struct firmware *firmware)
{
	if (firmware->serial)
		serial_port_receive(firmware->serial);
	if (!firmware->faults.stalled) {
		board_run_closed_loops(firmware->board);
		bool all_sent = run_controllers(firmware);

		faults_run(&firmware->faults);
		if (all_sent && firmware->held) {
			firmware->held = false;
			rpmsg_backend_resume(firmware->backend);
		}
		/* No event of the loop will come for work that only the bound of a turn left
		 * over. */
		if (board_closed_loop_ready(firmware->board) ||
		    (all_sent && work_left(firmware)))
			loop_again(firmware->loop);
	}
	if (firmware->serial)
		serial_port_run(firmware->serial);
	if (firmware->backend)
		rpmsg_backend_flush(firmware->backend);
}

/* ---- channels -------------------------------------------------------------- */

void firmware_channel_name(const struct controller *controller, char *name, size_t size)
{
	const struct message_filter *filter = controller->firmware->message_filter;
	const char *prefix = RPMSG_GPIO_CHANNEL_PREFIX;

	if (filter && filter->channel_prefix)
		prefix = filter->channel_prefix;
	if (controller->board->raw)
		snprintf(name, size, "%s", RPMSG_GPIO_CHANNEL_RAW);
	else
		snprintf(name, size, "%s%u", prefix, controller->board->index);
}

static void announce_controllers(struct firmware *firmware)
{
	const struct message_filter *filter = firmware->message_filter;
	char name[32];

	for (unsigned int i = 0; i < firmware->count; i++) {
		struct controller *controller = &firmware->controllers[i];

		if (controller->announced)
			continue;
		firmware_channel_name(controller, name, sizeof(name));
		controller->announced = rpmsg_backend_announce(firmware->backend, name,
							       controller->address, true);
		if (controller->announced && filter && filter->announced)
			filter->announced(controller);
	}
}

static void announce_tty(struct firmware *firmware)
{
	struct tty_channel *tty = &firmware->tty;

	if (!tty->announced && !tty->cable_out)
		tty->announced = rpmsg_backend_announce(firmware->backend, TTY_CHANNEL,
							TTY_ADDRESS, true);
}

/* A channel for which there is no buffer now is announced when there is one. */
static void announce(void *context)
{
	struct firmware *firmware = context;

	if (firmware->faults.stalled)
		return;
	if (firmware->serial_quiet)
		serial_port_quiet(firmware->serial, false);
	firmware->serial_quiet = false;
	if (!backend_attached(firmware))
		return;
	if (firmware->tty.offered)
		announce_tty(firmware);
	else
		announce_controllers(firmware);
	rpmsg_backend_flush(firmware->backend);
}

struct controller *firmware_find(struct firmware *firmware, unsigned int index)
{
	return find_address(firmware, CONTROLLER_ADDRESS + index);
}

bool firmware_announce(struct controller *controller, bool created)
{
	struct firmware *firmware = controller->firmware;
	char name[32];
	bool sent;

	firmware_channel_name(controller, name, sizeof(name));
	sent = backend_attached(firmware) &&
	       rpmsg_backend_announce(firmware->backend, name, controller->address, created);
	if (sent)
		rpmsg_backend_flush(firmware->backend);
	return sent;
}

static void attached(void *context)
{
	struct firmware *firmware = context;
	uint64_t late = firmware->faults.announce_late_ns;

	if (late)
		loop_timer_set(firmware->loop, &firmware->announce_timer,
			       loop_now(firmware->loop) + late);
	else
		announce(firmware);
}

static void forget_drivers(struct firmware *firmware, uint32_t way)
{
	for (unsigned int i = 0; i < firmware->count; i++)
		if ((firmware->controllers[i].driver & CONTROLLER_SERIAL) == way)
			firmware->controllers[i].driver_known = false;
}

/* Pins stay as they are: the firmware runs on, it only lost its listener. */
static void detached(void *context)
{
	struct firmware *firmware = context;

	loop_timer_cancel(firmware->loop, &firmware->announce_timer);
	faults_forget(&firmware->faults);
	firmware->held = false;
	forget_drivers(firmware, 0);
	for (unsigned int i = 0; i < firmware->count; i++)
		firmware->controllers[i].announced = false;
	firmware->tty.announced = false;
	if (firmware->tty.offered)
		serial_port_plug(firmware->serial, false);
}

static void serial_session(void *context, bool open)
{
	struct firmware *firmware = context;
	uint64_t late = firmware->faults.announce_late_ns;

	faults_forget(&firmware->faults);
	forget_drivers(firmware, CONTROLLER_SERIAL);
	run_controllers(firmware); /* messages for the old driver are lost */
	firmware->serial_quiet = open && late;
	if (!firmware->serial_quiet)
		return;
	serial_port_quiet(firmware->serial, true);
	loop_timer_set(firmware->loop, &firmware->announce_timer,
		       loop_now(firmware->loop) + late);
}

static const struct rpmsg_gpio_serial_ops serial_ops = {
	.received = serial_received,
	.session = serial_session,
};

static struct rpmsg_gpio_serial_config serial_config(struct firmware *firmware)
{
	struct rpmsg_gpio_serial_config config = {
		.ops = &serial_ops,
		.context = firmware,
		.channels = firmware->channels,
		.epoch = firmware->epoch,
	};

	for (unsigned int i = 0; i < firmware->count; i++) {
		uint32_t endpoint = firmware->controllers[i].address - CONTROLLER_ADDRESS;

		if (endpoint >= RPMSG_GPIO_SERIAL_NS_ENDPOINT)
			break; /* no number left for it on a serial line */
		firmware_channel_name(&firmware->controllers[i], firmware->channel_names[i],
				      sizeof(firmware->channel_names[i]));
		firmware->channels[i] = (struct rpmsg_gpio_serial_channel){
			.name = firmware->channel_names[i], .endpoint = (uint8_t)endpoint};
		config.channel_count = (uint8_t)(i + 1);
	}
	return config;
}

bool firmware_open_serial(struct firmware *firmware, const char *path, uint32_t baud, char *why,
			  size_t why_size)
{
	struct rpmsg_gpio_serial_config config = serial_config(firmware);

	firmware->serial = serial_port_open(firmware->loop, path, baud, &config, why, why_size);
	if (firmware->serial)
		serial_port_filter(firmware->serial, firmware->serial_filter);
	return firmware->serial;
}

bool firmware_open_tty(struct firmware *firmware, char *why, size_t why_size)
{
	struct rpmsg_gpio_serial_config config = serial_config(firmware);

	firmware->serial = serial_port_open_channel(firmware->loop, tty_send, &config, why,
						    why_size);
	if (firmware->serial)
		serial_port_filter(firmware->serial, firmware->serial_filter);
	firmware->tty.offered = firmware->serial;
	return firmware->serial;
}

bool firmware_plug(struct firmware *firmware, bool plugged)
{
	struct tty_channel *tty = &firmware->tty;

	if (!tty->offered)
		return serial_port_plug(firmware->serial, plugged);
	errno = EAGAIN;
	if (!plugged && tty->announced &&
	    !rpmsg_backend_announce(firmware->backend, TTY_CHANNEL, TTY_ADDRESS, false))
		return false; /* no buffer to say it with */
	tty->cable_out = !plugged;
	if (plugged) {
		announce(firmware);
	} else {
		tty->announced = false;
		serial_port_plug(firmware->serial, false);
	}
	return true;
}

static void writable(void *context)
{
	struct firmware *firmware = context;

	if (firmware_attached(firmware) && !firmware->announce_timer.deadline.armed)
		announce(firmware);
	/* firmware_run() follows: the loop's idle hook. */
}

const struct rpmsg_backend_ops firmware_backend_ops = {
	.attached = attached,
	.detached = detached,
	.received = received,
	.writable = writable,
};

void firmware_stall(struct firmware *firmware, bool stalled)
{
	firmware->faults.stalled = stalled;
	if (firmware->backend)
		rpmsg_backend_stall(firmware->backend, stalled);
	if (firmware->serial)
		serial_port_stall(firmware->serial, stalled);
	/* A guest that attached meanwhile has not heard of any channel. */
	if (!stalled)
		writable(firmware);
}

void firmware_clear_faults(struct firmware *firmware)
{
	faults_clear(&firmware->faults);
	if (firmware->backend)
		rpmsg_backend_lie(firmware->backend, 0, -1, -1);
	if (firmware->serial)
		serial_port_noise(firmware->serial, 0, 0);
	loop_timer_cancel(firmware->loop, &firmware->announce_timer);
	firmware_stall(firmware, false);
}

/* ---- start and restart ------------------------------------------------------- */

static uint32_t next_epoch(uint32_t epoch)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = epoch;
	/* 0 means "no epoch", and a boot differs from the one before. */
	while (!random || random == epoch)
		random++;
	return random;
}

/* LINE_CONFIG is not offered on a board where no pin has anything to configure. */
static uint32_t features_of(const struct controller *controller)
{
	const struct board_controller *board = controller->board;
	uint32_t caps = 0;

	for (uint16_t i = 0; i < board->ngpio; i++)
		caps |= board->pins[i].caps;
	return caps ? controller->features : controller->features & ~RPMSG_GPIO_F_LINE_CONFIG;
}

static void boot_controller(struct controller *controller)
{
	controller->config.epoch = controller->firmware->epoch;
	controller->config.features = features_of(controller);
	rpmsg_gpio_device_init(&controller->device, &controller->config);
	if (controller->firmware->message_filter)
		controller->firmware->message_filter->booted(controller);
}

/* Puts all names in a row, each closed by NUL; leaves NULL when no line has one. */
static bool collect_names(struct controller *controller)
{
	const struct board_controller *board = controller->board;
	size_t size = 0;
	bool any = false;
	char *at;

	for (uint16_t i = 0; i < board->ngpio; i++) {
		size += strlen(board->pins[i].name) + 1;
		any |= board->pins[i].name[0] != '\0';
	}
	if (!any)
		return true;
	at = controller->names = malloc(size);
	if (!at)
		return false;
	for (uint16_t i = 0; i < board->ngpio; i++)
		at = stpcpy(at, board->pins[i].name) + 1;
	controller->config.names = controller->names;
	controller->config.names_size = (uint32_t)size;
	return true;
}

static bool init_controller(struct firmware *firmware, struct board_controller *board,
			    const struct firmware_options *options)
{
	struct controller *controller = &firmware->controllers[firmware->count++];

	*controller = (struct controller){
		.firmware = firmware,
		.board = board,
		.features = options->features,
		.address = CONTROLLER_ADDRESS + board->index,
		.lines = calloc(board->ngpio, sizeof(struct rpmsg_gpio_line)),
		.streams = calloc(board->ngpio, sizeof(struct rpmsg_gpio_stream)),
		.edges = calloc(EDGES, sizeof(struct rpmsg_gpio_edge)),
		.config = {
			.port = &board_port,
			.port_context = board,
			.channel = &channel,
			.channel_context = controller,
			.ngpio = board->ngpio,
			.label = board->label[0] ? board->label : NULL,
			.dialect = options->dialect,
			.strict = options->strict,
		},
	};
	controller->config.lines = controller->lines;
	controller->config.streams = controller->streams;
	controller->config.edges = controller->edges;
	controller->config.edge_count = EDGES;
	if (!controller->lines || !controller->streams || !controller->edges || !collect_names(controller))
		return false;
	boot_controller(controller);
	board->device = &controller->device;
	return true;
}

struct firmware *firmware_new(struct loop *loop, struct board *board,
			      const struct firmware_options *options)
{
	struct firmware *firmware = calloc(1, sizeof(*firmware));

	if (!firmware)
		return NULL;
	firmware->loop = loop;
	firmware->board = board;
	firmware->epoch = next_epoch(0);
	firmware->message_filter = options->message_filter;
	firmware->serial_filter = options->serial_filter;
	firmware->announce_timer = (struct loop_timer){.fn = announce, .context = firmware};
	faults_init(&firmware->faults, loop, deliver_rx, deliver_tx, firmware);
	firmware->controllers = calloc(BOARD_CONTROLLERS_MAX, sizeof(*firmware->controllers));
	for (unsigned int i = 0; i < BOARD_CONTROLLERS_MAX; i++) {
		if (firmware->controllers && !board->controllers[i])
			continue;
		if (!firmware->controllers ||
		    !init_controller(firmware, board->controllers[i], options)) {
			firmware_free(firmware);
			return NULL;
		}
	}
	return firmware;
}

void firmware_free(struct firmware *firmware)
{
	if (!firmware)
		return;
	loop_timer_cancel(firmware->loop, &firmware->announce_timer);
	faults_forget(&firmware->faults);
	for (unsigned int i = 0; i < firmware->count; i++) {
		firmware->controllers[i].board->device = NULL;
		free(firmware->controllers[i].lines);
		free(firmware->controllers[i].streams);
		free(firmware->controllers[i].edges);
		free(firmware->controllers[i].names);
	}
	free(firmware->controllers);
	free(firmware);
}

void firmware_restart(struct firmware *firmware)
{
	if (firmware->backend)
		rpmsg_backend_disconnect(firmware->backend);
	detached(firmware);
	forget_drivers(firmware, CONTROLLER_SERIAL);
	/* A reset also ends a hang. */
	firmware_stall(firmware, false);
	board_reset_firmware(firmware->board);
	firmware->epoch = next_epoch(firmware->epoch);
	if (firmware->serial)
		serial_port_restart(firmware->serial, firmware->epoch);
	for (unsigned int i = 0; i < firmware->count; i++)
		boot_controller(&firmware->controllers[i]);
}

bool firmware_armed(const struct board_pin *pin)
{
	const struct rpmsg_gpio_device *device = pin->controller->device;

	return device && rpmsg_gpio_device_armed(device, pin->offset);
}
