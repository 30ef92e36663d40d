/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "rpmsg_gpio_self_test.h"
#include "verbs.h"

#define WAIT_DEFAULT_NS (5 * NS_PER_S)
#define WAIT_MAX_NS (3600 * NS_PER_S)
#define ADVANCE_MAX_NS (60 * NS_PER_S)
#define TIMES_MAX 2000 /* that fit a reply */
#define FAULTS_MAX 10000
#define EXIT_CRASHED 134
#define NO_SERIAL "there is no serial line; start the stub with --serial or --rpmsg-tty"

/* ---- looking ------------------------------------------------------------------------ */

int do_read(struct request *request)
{
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (!error)
		request_answer(request, "%u", line->level);
	return error;
}

int do_count(struct request *request)
{
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (!error)
		request_answer(request, "edges %llu interrupts %llu",
			       (unsigned long long)line->edges,
			       (unsigned long long)line->interrupts);
	return error;
}

int do_edge(struct request *request)
{
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (!error)
		request_answer(request, "edges %llu time %llu step %llu",
			       (unsigned long long)line->edges, (unsigned long long)line->edge_ns,
			       (unsigned long long)line->edge_step);
	return error;
}

int do_config(struct request *request)
{
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (!error)
		request_answer(request, "caps 0x%x flags 0x%x debounce %llu", line->caps,
			       line->config, (unsigned long long)(line->debounce_ns / NS_PER_US));
	return error;
}

int do_trace(struct request *request)
{
	struct board_pin *line;
	uint64_t room;
	int error = request_pin(request, 1, &line);

	if (!error)
		error = request_number(request, 2, "the number of edges", 1, BOARD_TRACE_MAX,
				       &room);
	if (!error && !board_trace(line, (size_t)room))
		error = request_fail(request, ENOMEM, "no memory for so many edges");
	return error;
}

int do_times(struct request *request)
{
	struct board_pin *line;
	uint64_t from = 0, count = 0;
	int error = request_pin(request, 1, &line);

	if (!error)
		error = request_number(request, 2, "the first edge", 0, BOARD_TRACE_MAX, &from);
	if (!error)
		error = request_number(request, 3, "the number of edges", 1, TIMES_MAX, &count);
	for (uint64_t i = from; !error && i < from + count && i < line->trace.count; i++)
		request_answer(request, "%s%llu", i > from ? " " : "",
			       (unsigned long long)line->trace.times[i]);
	return error;
}

static const char *irq_type_name(uint8_t type)
{
	switch (type) {
	case VIRTIO_GPIO_IRQ_TYPE_NONE: return "none";
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING: return "edge-rising";
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING: return "edge-falling";
	case VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH: return "edge-both";
	case VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: return "level-high";
	default: return "level-low";
	}
}

int do_state(struct request *request)
{
	static const char *const directions[] = {"none", "out", "in"};
	struct board_pin *line;
	int error = request_pin(request, 1, &line);

	if (!error)
		request_answer(request, "direction %s irq %s armed %s level %u",
			       directions[line->direction], irq_type_name(line->irq_type),
			       firmware_armed(line) ? "yes" : "no", line->level);
	return error;
}

int do_channels(struct request *request)
{
	struct firmware *firmware = request->commands->firmware;
	char name[32];

	for (unsigned int i = 0; i < firmware->count; i++) {
		const struct controller *controller = &firmware->controllers[i];

		firmware_channel_name(controller, name, sizeof(name));
		request_answer(request, "%s%u %s 0x%x lines %u label \"%s\"", i ? "\n" : "",
			       controller->board->index, name, controller->address,
			       controller->board->ngpio, controller->board->label);
		if (controller->driver_known)
			request_answer(request, " driver 0x%x", controller->driver);
	}
	return 0;
}

/* ---- the self-test -------------------------------------------------------------------- */

struct self_test {
	struct request *request;
	const struct board_controller *controller; /* of the first line */
	uint16_t outputs[WORDS_MAX];
	struct rpmsg_gpio_self_test_wire wires[WORDS_MAX];
	struct rpmsg_gpio_self_test test;
};

static void tell_fault(void *context, uint16_t gpio, const char *what)
{
	const struct self_test *self = context;

	request_answer(self->request, "%u/%u \"%s\" %s\n", self->controller->index, gpio,
		       self->controller->pins[gpio].name, what);
}

static int line_to_test(struct self_test *self, int word, uint16_t *gpio)
{
	struct board_pin *line;
	int error = request_pin(self->request, word, &line);

	if (error)
		return error;
	if (!self->controller)
		self->controller = line->controller;
	if (line->controller != self->controller)
		return request_fail(self->request, EINVAL,
				    "`%s` is of another controller; a self-test is of one",
				    self->request->words[word]);
	*gpio = line->offset;
	return 0;
}

/* The words that say what is tested. */
static int read_self_test(struct self_test *self)
{
	struct rpmsg_gpio_self_test *test = &self->test;
	int error = 0;

	for (int word = 1; !error && word < self->request->count; word++) {
		if (!request_is(self->request, word, "wire")) {
			error = line_to_test(self, word, &self->outputs[test->output_count++]);
			continue;
		}
		if (word + 2 >= self->request->count)
			return request_usage(self->request);
		error = line_to_test(self, ++word, &self->wires[test->wire_count].out);
		if (!error)
			error = line_to_test(self, ++word, &self->wires[test->wire_count++].in);
	}
	return error;
}

int do_self_test(struct request *request)
{
	struct self_test self = {
		.request = request,
		.test = {.outputs = self.outputs, .wires = self.wires, .fault = tell_fault,
			 .context = &self},
	};
	int error = read_self_test(&self);

	if (!error)
		(void)rpmsg_gpio_self_test(self.controller->device, &self.test);
	return error;
}

/* ---- waiting ------------------------------------------------------------------------- */

/* [timeout TIME] at `word` */
static int start_wait(struct request *request, int word, struct wait wait)
{
	int error = 0;

	wait.timeout_ns = WAIT_DEFAULT_NS;
	if (word < request->count) {
		if (!request_is(request, word, "timeout") || word + 2 != request->count)
			return request_usage(request);
		error = request_duration(request, word + 1, WAIT_MAX_NS, &wait.timeout_ns);
	}
	if (!error)
		request->command->wait = wait;
	return error;
}

int do_wait(struct request *request)
{
	struct wait wait = {.kind = WAIT_LEVEL};
	int8_t value;
	int error = request_pin(request, 1, &wait.pin);

	if (!error)
		error = request_level(request, 2, &value);
	if (error)
		return error;
	wait.wanted = (uint64_t)value;
	return start_wait(request, 3, wait);
}

int do_wait_armed(struct request *request)
{
	struct wait wait = {.kind = WAIT_ARMED};
	int error = request_pin(request, 1, &wait.pin);

	return error ? error : start_wait(request, 2, wait);
}

int do_wait_edges(struct request *request)
{
	struct wait wait = {.kind = WAIT_EDGES};
	int error = request_pin(request, 1, &wait.pin);

	if (!error)
		error = request_number(request, 2, "the number of edges", 0, UINT64_MAX,
				       &wait.wanted);
	return error ? error : start_wait(request, 3, wait);
}

int do_wait_attached(struct request *request)
{
	return start_wait(request, 1, (struct wait){.kind = WAIT_ATTACHED});
}

bool wait_over(const struct commands *commands, const struct wait *wait)
{
	switch (wait->kind) {
	case WAIT_LEVEL: return wait->pin->level == wait->wanted;
	case WAIT_ARMED: return firmware_armed(wait->pin);
	case WAIT_EDGES: return wait->pin->edges >= wait->wanted;
	case WAIT_ATTACHED: return firmware_attached(commands->firmware);
	default: return true;
	}
}

/* ---- the machine ------------------------------------------------------------------------ */

int do_advance(struct request *request)
{
	uint64_t ns;
	int error = request_duration(request, 1, ADVANCE_MAX_NS, &ns);

	if (error)
		return error;
	if (!loop_stepping(request->commands->loop))
		return request_fail(request, EINVAL,
			    "time runs by itself; start the stub with --step to advance it");
	loop_advance(request->commands->loop, ns);
	return 0;
}

int do_restart(struct request *request)
{
	firmware_restart(request->commands->firmware);
	return 0;
}

int do_crash(struct request *request)
{
	(void)request;
	_exit(EXIT_CRASHED);
}

int do_quit(struct request *request)
{
	loop_quit(request->commands->loop);
	return 0;
}

/* drop|duplicate|corrupt|delay rx|tx N [TIME] */
static int fault_messages(struct request *request)
{
	struct faults *faults = &request->commands->firmware->faults;
	bool delay = request_is(request, 1, "delay");
	struct fault_plan *plan;
	uint64_t count, ns = 0;
	int error;

	if (request->count != (delay ? 5 : 4) || !(request_is(request, 2,
		    "rx") || request_is(request, 2, "tx")))
		return request_usage(request);
	plan = &faults->plans[request_is(request, 2, "tx") ? FAULT_TX : FAULT_RX];
	error = request_number(request, 3, "the number of messages", 0, FAULTS_MAX, &count);
	if (!error && delay)
		error = request_duration(request, 4, ADVANCE_MAX_NS, &ns);
	if (error)
		return error;
	if (delay) {
		plan->delay = (unsigned int)count;
		plan->delay_ns = ns;
	} else if (request_is(request, 1, "drop")) {
		plan->drop = (unsigned int)count;
	} else if (request_is(request, 1, "duplicate")) {
		plan->duplicate = (unsigned int)count;
	} else {
		plan->corrupt = (unsigned int)count;
		plan->corrupted = 0;
	}
	return 0;
}

static int fault_stall(struct request *request)
{
	if (request->count != 3 || !(request_is(request, 2, "on") || request_is(request, 2, "off")))
		return request_usage(request);
	firmware_stall(request->commands->firmware, request_is(request, 2, "on"));
	return 0;
}

static int fault_mute(struct request *request)
{
	uint64_t count;
	int error;

	if (request->count != 3)
		return request_usage(request);
	error = request_number(request, 2, "the number of replies", 0, FAULTS_MAX, &count);
	if (!error)
		request->commands->firmware->faults.plans[FAULT_TX].mute = (unsigned int)count;
	return error;
}

/* A length that a message claims to have; `-` leaves the true one. */
static int lie_length(struct request *request, int word, int *length)
{
	uint64_t value;
	int error;

	if (request_is(request, word, "-")) {
		*length = -1;
		return 0;
	}
	error = request_number(request, word, "the length", 0, UINT16_MAX, &value);
	*length = (int)value;
	return error;
}

static int fault_lie(struct request *request)
{
	uint64_t count;
	int header = -1, used = -1, error;

	if (request->count != 5)
		return request_usage(request);
	error = request_number(request, 2, "the number of messages", 0, FAULTS_MAX, &count);
	if (!error)
		error = lie_length(request, 3, &header);
	if (!error)
		error = lie_length(request, 4, &used);
	if (!error && !request->commands->firmware->backend)
		return request_fail(request, EOPNOTSUPP,
			    "a serial line has no such lengths; start the stub with --socket");
	if (!error)
		rpmsg_backend_lie(request->commands->firmware->backend, (unsigned int)count,
				  header, used);
	return error;
}

/* noise N [SEED]: errors of each kind in a million bytes of the serial line */
static int fault_noise(struct request *request)
{
	struct serial_port *serial = request->commands->firmware->serial;
	uint64_t rate, seed = 1;
	int error;

	if (request->count < 3 || request->count > 4)
		return request_usage(request);
	error = request_number(request, 2, "the errors in a million bytes", 0, 100000, &rate);
	if (!error && request->count == 4)
		error = request_number(request, 3, "the seed", 0, UINT32_MAX, &seed);
	if (!error && !serial)
		return request_fail(request, EOPNOTSUPP, NO_SERIAL);
	if (!error)
		serial_port_noise(serial, (uint32_t)rate, seed);
	return error;
}

static int fault_cable(struct request *request)
{
	struct firmware *firmware = request->commands->firmware;
	bool in = request_is(request, 2, "in");

	if (request->count != 3 || !(in || request_is(request, 2, "out")))
		return request_usage(request);
	if (!firmware->serial)
		return request_fail(request, EOPNOTSUPP, NO_SERIAL);
	if (!firmware_plug(firmware, in))
		return request_fail(request, errno, "the cable cannot be %s: %s",
				    in ? "plugged in" : "pulled", strerror(errno));
	return 0;
}

static int fault_announce_late(struct request *request)
{
	if (request->count != 3)
		return request_usage(request);
	return request_duration(request, 2, ADVANCE_MAX_NS,
				&request->commands->firmware->faults.announce_late_ns);
}

/* announce INDEX created|destroyed: sent whatever was announced before */
static int fault_announce(struct request *request)
{
	struct firmware *firmware = request->commands->firmware;
	bool created = request_is(request, 3, "created");
	struct controller *controller;
	uint64_t index;
	int error;

	if (request->count != 4 || !(created || request_is(request, 3, "destroyed")))
		return request_usage(request);
	error = request_number(request, 2, "the controller", 0, BOARD_CONTROLLERS_MAX - 1, &index);
	if (error)
		return error;
	controller = firmware_find(firmware, (unsigned int)index);
	if (!controller)
		return request_fail(request, ENOENT,
				    "no controller %u; give the index of one on the board",
				    (unsigned int)index);
	if (!firmware_announce(controller, created))
		return request_fail(request, ENOTCONN,
				    "no guest is attached, or it has no buffer free");
	return 0;
}

static int fault_clear(struct request *request)
{
	if (request->count != 2)
		return request_usage(request);
	firmware_clear_faults(request->commands->firmware);
	return 0;
}

int do_fault(struct request *request)
{
	static const struct { const char *name; int (*fn)(struct request *request); } kinds[] = {
		{"drop", fault_messages},
		{"duplicate", fault_messages},
		{"corrupt", fault_messages},
		{"delay", fault_messages},
		{"stall", fault_stall},
		{"mute", fault_mute},
		{"lie", fault_lie},
		{"noise", fault_noise},
		{"cable", fault_cable},
		{"announce-late", fault_announce_late},
		{"announce", fault_announce},
		{"clear", fault_clear},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (request_is(request, 1, kinds[i].name))
			return kinds[i].fn(request);
	return request_usage(request);
}
