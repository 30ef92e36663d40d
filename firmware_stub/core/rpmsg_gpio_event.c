/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_event.c - interrupts and events (docs/protocol.md 4.1 and 11.1 to
 * 11.3).
 *
 * Three ways from an edge to its event: masking and re-arm with the baseline's
 * event, the same with records (TIMESTAMP alone, and level types), and credits.
 * With records, edges pass a FIFO that the interrupt side fills; an edge that
 * finds it full leaves its number and level in its line.
 */
#include <string.h>

#include "rpmsg_gpio_internal.h"

static bool is_level(uint8_t type)
{
	return type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

static bool is_irq_type(uint32_t type)
{
	return type <= VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

static bool has_records(const struct rpmsg_gpio_device *device)
{
	return device->features & EXTENDED_EVENTS;
}

static bool uses_credits(const struct rpmsg_gpio_device *device,
			 const struct rpmsg_gpio_line *line)
{
	return device->features & HAS(RPMSG_GPIO_F_CREDITS) && !is_level(line->irq_type);
}

static bool has_credit(const struct rpmsg_gpio_stream *stream)
{
	return (int32_t)(stream->granted - stream->sent) > 0;
}

/* ---- the interrupt side ---------------------------------------------------- */

static void wake(struct rpmsg_gpio_device *device)
{
	/* The line is stored first: whoever sees `pending` must find the line. */
	RPMSG_GPIO_BARRIER();
	device->pending = 1;
}

void rpmsg_gpio_device_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	if (gpio >= config->ngpio)
		return;
	if (EXTENDED_EVENTS && config->streams)
		config->streams[gpio].edges = config->streams[gpio].edges + 1;
	/* Whoever sees that the line fired must find its number. */
	RPMSG_GPIO_BARRIER();
	config->lines[gpio].fired = 1;
	wake(device);
}

static bool fifo_full(const struct rpmsg_gpio_device *device)
{
	return (uint16_t)(device->edge_head - device->edge_tail) ==
	       device->config->edge_count;
}

static void fifo_push(struct rpmsg_gpio_device *device, const struct rpmsg_gpio_edge *edge)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	uint16_t head = device->edge_head;

	config->edges[head & (config->edge_count - 1u)] = *edge;
	RPMSG_GPIO_BARRIER();
	device->edge_head = (uint16_t)(head + 1);
}

void rpmsg_gpio_device_edge(struct rpmsg_gpio_device *device, uint16_t gpio,
			    bool level, uint64_t timestamp)
{
	struct rpmsg_gpio_stream *stream;
	struct rpmsg_gpio_edge edge;

	if (gpio >= device->config->ngpio)
		return;
	if (!has_records(device)) {
		rpmsg_gpio_device_irq(device, gpio);
		return;
	}
	stream = &device->config->streams[gpio];
	edge.timestamp = timestamp;
	edge.sequence = stream->edges + 1;
	edge.gpio = gpio;
	edge.flags = level ? RPMSG_GPIO_EVENT_HIGH : 0;
	stream->edges = edge.sequence;
	if (!fifo_full(device)) {
		fifo_push(device, &edge);
	} else {
		/* One word holds both, so that nobody ever sees one half of it. */
		stream->missed = edge.sequence << 1 | (level ? 1u : 0u);
		COUNT(device, overruns);
		RPMSG_GPIO_BARRIER();
		device->overflowed = 1;
	}
	wake(device);
}

/* ---- the irq type ------------------------------------------------------------ */

/* Take what the interrupt stored into the state of the line. It is cleared first: an interrupt
 * before that is part of this firing, and one after it is the next. */
static void take_fired(const struct rpmsg_gpio_device *device, struct rpmsg_gpio_line *line)
{
	if (!line->fired)
		return;
	line->fired = 0;
	RPMSG_GPIO_BARRIER();
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return;
	if (uses_credits(device, line) ||
	    (line->flags & (LINE_DUE | LINE_MASKED) && !is_level(line->irq_type))) {
		/* This edge is the latest now, and has no record, unlike one that was latched
		 * before. */
		if (!(line->flags & LINE_DUE))
			rpmsg_gpio_line_clear(line, LINE_RECORD);
		rpmsg_gpio_line_set(line, LINE_LATCHED);
	} else if (!(line->flags & LINE_MASKED))
		rpmsg_gpio_line_set(line, LINE_DUE);
}

/* With CREDITS an edge waits for credits, without them for the re-arm. This is done at once and
 * for every line, so that nothing depends on when the next event finds a buffer. */
void rpmsg_gpio_use_features(struct rpmsg_gpio_device *device, uint32_t features)
{
	uint32_t credits = features & HAS(RPMSG_GPIO_F_CREDITS);
	bool changed = (device->features & HAS(RPMSG_GPIO_F_CREDITS)) != credits;
	uint16_t gpio;

	device->features = features;
	device->pending = 1;
	for (gpio = 0; changed && gpio < device->config->ngpio; gpio++) {
		struct rpmsg_gpio_line *line = &device->config->lines[gpio];
		bool waits = line->flags & (LINE_DUE | LINE_LATCHED);

		if (is_level(line->irq_type))
			continue;
		rpmsg_gpio_line_clear(line, LINE_IRQ);
		if (waits)
			rpmsg_gpio_line_set(line, credits ? LINE_LATCHED : LINE_DUE);
	}
}

static bool port_irq_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint8_t type)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->set_irq_type(config->port_context, gpio, type);
}

void rpmsg_gpio_irq_disable(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (line->irq_type != VIRTIO_GPIO_IRQ_TYPE_NONE)
		(void)port_irq_type(device, gpio, VIRTIO_GPIO_IRQ_TYPE_NONE);
	line->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE;
	rpmsg_gpio_line_clear(line, LINE_IRQ | LINE_RECORD);
}

/* Edges that are still under way are not ahead of `base`. */
static void begin_stream(struct rpmsg_gpio_stream *stream)
{
	stream->base = stream->edges;
	stream->last = 0;
	stream->granted = 0;
	stream->sent = 0;
}

/* Clears all but what belongs to the interrupt side. */
static void restore_stream(struct rpmsg_gpio_stream *stream,
			   const struct rpmsg_gpio_stream *old)
{
	stream->base = old->base;
	stream->last = old->last;
	stream->granted = old->granted;
	stream->sent = old->sent;
	stream->held_at = old->held_at;
}

static bool enable_irq(struct rpmsg_gpio_device *device, uint16_t gpio,
		       uint8_t type)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	/* An edge that was on its way when the line was disabled is no event now. */
	line->fired = 0;
	if (EXTENDED_EVENTS && device->config->streams)
		begin_stream(&device->config->streams[gpio]);
	if (!port_irq_type(device, gpio, type))
		return false;
	line->irq_type = type;
	return true;
}

/* The same type again: unmask. A latched edge is due at once. */
static bool rearm_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (uses_credits(device, line))
		return !device->config->strict;
	/* A firing under the mask must not count as one after it. */
	take_fired(device, line);
	/* The port must not look at the pin again either: a level that is still active would
	 * count twice. */
	if (!(line->flags & LINE_MASKED))
		return !device->config->strict;
	if (!port_irq_type(device, gpio, line->irq_type))
		return false;
	if (line->flags & LINE_LATCHED)
		rpmsg_gpio_line_set(line, LINE_DUE);
	rpmsg_gpio_line_clear(line, LINE_MASKED | LINE_LATCHED);
	device->pending = 1;
	return true;
}

/* Another type without NONE in between does the same as with NONE in between. When a port refuses
 * the new type, the old one is set again, as if nothing had been asked. */
static bool change_irq(struct rpmsg_gpio_device *device, uint16_t gpio,
		       uint8_t type)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	struct rpmsg_gpio_stream *stream = EXTENDED_EVENTS ? device->config->streams : NULL;
	struct rpmsg_gpio_stream old_stream;
	uint8_t old_type = line->irq_type;
	unsigned int old_flags;

	if (device->config->strict)
		return false;
	take_fired(device, line);
	old_flags = line->flags & (LINE_IRQ | LINE_RECORD);
	if (stream)
		old_stream = *(stream += gpio);
	rpmsg_gpio_irq_disable(device, gpio);
	if (enable_irq(device, gpio, type))
		return true;
	if (enable_irq(device, gpio, old_type)) {
		if (stream)
			restore_stream(stream, &old_stream);
		rpmsg_gpio_line_set(line, old_flags);
		device->pending = 1;
	}
	return false;
}

bool rpmsg_gpio_irq_set_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			     uint32_t type)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	const struct rpmsg_gpio_line *line = &config->lines[gpio];

	if (!is_irq_type(type))
		return false;
	if (config->strict && line->direction == VIRTIO_GPIO_DIRECTION_OUT)
		return false;
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		rpmsg_gpio_irq_disable(device, gpio);
		return true;
	}
	if (config->strict && line->direction != VIRTIO_GPIO_DIRECTION_IN)
		return false;
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return enable_irq(device, gpio, (uint8_t)type);
	if (line->irq_type == type)
		return rearm_irq(device, gpio);
	return change_irq(device, gpio, (uint8_t)type);
}

bool rpmsg_gpio_irq_grant(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint32_t granted)
{
	const struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	struct rpmsg_gpio_stream *stream = &device->config->streams[gpio];

	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE || !uses_credits(device, line))
		return false;
	if ((int32_t)(granted - stream->granted) > 0)
		stream->granted = granted;
	device->pending = 1;
	return true;
}

/* ---- events in the baseline's form --------------------------------------------- */

static bool transmit(struct rpmsg_gpio_device *device, const void *message,
		     size_t length)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	if (!config->channel->send(config->channel_context, message, length)) {
		COUNT(device, starved);
		return false;
	}
	COUNT(device, sent);
	return true;
}

static bool send_plain(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	size_t skip = rpmsg_gpio_unpadded(device);
	const struct rpmsg_gpio_padded_irq irq = {
		RPMSG_GPIO_QUEUE_EVENT, skip ? RPMSG_GPIO_QUEUE_EVENT : 0,
		rpmsg_gpio_store16(gpio) };

	return transmit(device, (const uint8_t *)&irq + skip, sizeof(irq) - skip);
}

/* ---- events as records ----------------------------------------------------------- */

bool rpmsg_gpio_flush(struct rpmsg_gpio_device *device)
{
	if (!device->reply_length)
		return true;
	if (!transmit(device, device->reply, device->reply_length))
		return false;
	device->reply_length = 0;
	return true;
}

/* The records gathered so far become a message that waits like a reply does:
 * no request is taken before it, so none can be overtaken by them. */
static bool flush_batch(struct rpmsg_gpio_device *device)
{
	device->reply_length = device->batch_length;
	device->batch_length = 0;
	return rpmsg_gpio_flush(device);
}

static size_t record_size(const struct rpmsg_gpio_device *device)
{
	return device->features & HAS(RPMSG_GPIO_F_TIMESTAMP) ?
	       sizeof(struct rpmsg_gpio_timed_event) : sizeof(struct rpmsg_gpio_event);
}

static size_t batch_max(const struct rpmsg_gpio_device *device)
{
	size_t max = device->config->channel->event_max;

	return max && max < sizeof(device->reply) ? max : sizeof(device->reply);
}

/* Returns false when there is neither room in the message nor a transmit buffer. */
static bool put_record(struct rpmsg_gpio_device *device, const struct rpmsg_gpio_edge *edge)
{
	struct rpmsg_gpio_timed_event record;
	size_t size = record_size(device);

	if (device->batch_length && device->batch_length + size > batch_max(device) &&
	    !flush_batch(device))
		return false;
	record.event.queue = RPMSG_GPIO_QUEUE_EVENT;
	record.event.flags = edge->flags;
	record.event.gpio = rpmsg_gpio_store16(edge->gpio);
	record.event.sequence = rpmsg_gpio_store32(edge->sequence);
	record.timestamp = rpmsg_gpio_store64(edge->timestamp);
	memcpy(device->reply + device->batch_length, &record, size);
	device->batch_length = (uint16_t)(device->batch_length + size);
	return true;
}

static uint64_t time_now(const struct rpmsg_gpio_device *device)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->get_time ? config->port->get_time(config->port_context) : 0;
}

/* A firing that came without its level and time gets those of now. In this order an edge that
 * comes meanwhile is the next one, or the level of this one is that after it. */
static void look(struct rpmsg_gpio_device *device, uint16_t gpio, struct rpmsg_gpio_edge *edge)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	const struct rpmsg_gpio_stream *stream = &config->streams[gpio];
	uint8_t level = 0;

	edge->timestamp = time_now(device);
	edge->sequence = stream->edges - stream->base;
	RPMSG_GPIO_BARRIER();
	(void)config->port->get_value(config->port_context, gpio, &level);
	edge->gpio = gpio;
	edge->flags = (uint8_t)(RPMSG_GPIO_EVENT_LATE | (level ? RPMSG_GPIO_EVENT_HIGH : 0));
}

/* Keeps the latest edge of a line that may not send one now; `last` has its number. */
static void hold(struct rpmsg_gpio_line *line, struct rpmsg_gpio_stream *stream,
		 const struct rpmsg_gpio_edge *edge)
{
	stream->held_at = edge->timestamp;
	rpmsg_gpio_line_clear(line, LINE_RECORD);
	rpmsg_gpio_line_set(line, LINE_LATCHED | LINE_HELD |
		(edge->flags & RPMSG_GPIO_EVENT_HIGH ? LINE_HIGH : 0) |
		(edge->flags & RPMSG_GPIO_EVENT_LATE ? LINE_LATE : 0));
}

/* Send an edge, or keep it until it may be sent. False: no transmit buffer. */
static bool route(struct rpmsg_gpio_device *device, const struct rpmsg_gpio_edge *edge)
{
	struct rpmsg_gpio_line *line = &device->config->lines[edge->gpio];
	struct rpmsg_gpio_stream *stream = &device->config->streams[edge->gpio];
	bool credits = uses_credits(device, line);
	bool open = credits ? has_credit(stream) && !(line->flags & LINE_LATCHED) :
			      !(line->flags & (LINE_DUE | LINE_MASKED));

	if (!open) {
		hold(line, stream, edge);
	} else if (!put_record(device, edge)) {
		return false;
	} else if (credits) {
		stream->sent++;
	} else {
		rpmsg_gpio_line_set(line, LINE_MASKED);
	}
	stream->last = edge->sequence;
	return true;
}

/* Handles one edge of the FIFO, which stays there when there is no transmit buffer for it. */
static bool take_edge(struct rpmsg_gpio_device *device)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	uint16_t tail = device->edge_tail;
	struct rpmsg_gpio_edge edge = config->edges[tail & (config->edge_count - 1u)];
	struct rpmsg_gpio_line *line = &config->lines[edge.gpio];
	const struct rpmsg_gpio_stream *stream = &config->streams[edge.gpio];

	edge.sequence -= stream->base;
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE ||
	    (int32_t)(edge.sequence - stream->last) <= 0) {
		/* of an earlier time */
	} else if (!has_records(device)) {
		line->fired = 1; /* the features changed meanwhile */
		device->pending = 1;
	} else if (!route(device, &edge)) {
		return false;
	}
	RPMSG_GPIO_BARRIER();
	device->edge_tail = (uint16_t)(tail + 1);
	return true;
}

static bool drain(struct rpmsg_gpio_device *device)
{
	uint16_t count = (uint16_t)(device->edge_head - device->edge_tail);

	RPMSG_GPIO_BARRIER();
	while (count--)
		if (!take_edge(device))
			return false;
	/* Edges that came meanwhile wait for the next call, so that the work of one is bounded. */
	if (device->edge_head != device->edge_tail)
		device->pending = 1;
	return true;
}

static bool in_fifo(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	uint16_t at = device->edge_tail, head = device->edge_head;

	RPMSG_GPIO_BARRIER();
	while (at != head && config->edges[at & (config->edge_count - 1u)].gpio != gpio)
		at++;
	return at != head;
}

/* Handles an edge that found the FIFO full, unless a later one was handled already. */
static bool take_missed(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_stream *stream = &device->config->streams[gpio];
	uint32_t missed = stream->missed, ahead;
	struct rpmsg_gpio_edge edge;

	RPMSG_GPIO_BARRIER();
	/* Only 31 bits of the number are stored: a number is ahead when it lies within the edges
	 * that came. */
	ahead = ((missed >> 1) - stream->base - stream->last) & 0x7fffffffu;
	if (!missed || !ahead || ahead > stream->edges - stream->base - stream->last ||
	    device->config->lines[gpio].irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return true;
	/* The time is read first: an edge that is not in the FIFO now will be later than that. An
	 * edge that is there goes first, or shows by its number that this one did. */
	edge.timestamp = time_now(device);
	if (in_fifo(device, gpio)) {
		device->overflowed = 1;
		return true;
	}
	edge.sequence = stream->last + ahead;
	edge.gpio = gpio;
	edge.flags = (uint8_t)(RPMSG_GPIO_EVENT_LATE | (missed & 1 ? RPMSG_GPIO_EVENT_HIGH : 0));
	return route(device, &edge);
}

static bool take_all_missed(struct rpmsg_gpio_device *device)
{
	uint16_t gpio;

	if (!device->overflowed || !has_records(device))
		return true;
	device->overflowed = 0;
	RPMSG_GPIO_BARRIER();
	for (gpio = 0; gpio < device->config->ngpio; gpio++) {
		if (!take_missed(device, gpio)) {
			device->overflowed = 1;
			return false;
		}
	}
	return true;
}

/* Send what a line has kept. False: no transmit buffer. */
static bool send_held(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_stream *stream = &device->config->streams[gpio];
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	struct rpmsg_gpio_edge edge;

	edge.timestamp = stream->held_at;
	edge.sequence = stream->last;
	edge.gpio = gpio;
	edge.flags = (uint8_t)((line->flags & LINE_HIGH ? RPMSG_GPIO_EVENT_HIGH : 0) |
			       (line->flags & LINE_LATE ? RPMSG_GPIO_EVENT_LATE : 0));
	/* The edge has no record of its own, or was latched before there were records. */
	if (!(line->flags & LINE_HELD))
		look(device, gpio, &edge);
	if (!put_record(device, &edge))
		return false;
	rpmsg_gpio_line_clear(line, LINE_RECORD);
	stream->last = edge.sequence;
	return true;
}

/* ---- lines in turn ------------------------------------------------------------------ */

static bool run_credits(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (!(line->flags & LINE_LATCHED) || !has_credit(&device->config->streams[gpio]))
		return true;
	if (!send_held(device, gpio))
		return false;
	device->config->streams[gpio].sent++;
	rpmsg_gpio_line_clear(line, LINE_LATCHED);
	return true;
}

static bool run_armed(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	unsigned int told = LINE_DUE | LINE_RECORD;

	if (!(line->flags & LINE_DUE))
		return true;
	if (has_records(device)) {
		/* An event without a record reports the latest edge: no other edge is behind it. */
		if (!(line->flags & LINE_HELD))
			told |= LINE_LATCHED;
		if (!send_held(device, gpio))
			return false;
	} else if (!send_plain(device, gpio)) {
		return false;
	}
	rpmsg_gpio_line_clear(line, told);
	rpmsg_gpio_line_set(line, LINE_MASKED);
	return true;
}

static bool run_line(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	take_fired(device, line);
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return true;
	return uses_credits(device, line) ? run_credits(device, gpio) :
					    run_armed(device, gpio);
}

static bool run_lines(struct rpmsg_gpio_device *device)
{
	uint16_t ngpio = device->config->ngpio;
	uint16_t n;

	for (n = 0; n < ngpio; n++) {
		if (!run_line(device, device->scan))
			return false;
		/* The search goes on where it stopped, so that no line starves the others. */
		device->scan = (uint16_t)(device->scan + 1 < ngpio ?
					  device->scan + 1 : 0);
	}
	return true;
}

bool rpmsg_gpio_device_run(struct rpmsg_gpio_device *device)
{
	bool done;

	if (!rpmsg_gpio_flush(device))
		return false;
	if (!device->pending || device->refused)
		return true;
	/* Cleared before the lines are read: an interrupt behind the scan is
	 * found by the next call. */
	device->pending = 0;
	RPMSG_GPIO_BARRIER();
	/* The kept edges are older than those in the FIFO, and these older than
	 * those that found it full. */
	done = run_lines(device);
	if (EXTENDED_EVENTS && done)
		done = drain(device) && take_all_missed(device);
	if (EXTENDED_EVENTS && device->batch_length && !flush_batch(device))
		done = false;
	if (!done)
		device->pending = 1;
	return done;
}

bool rpmsg_gpio_device_armed(const struct rpmsg_gpio_device *device,
			     uint16_t gpio)
{
	const struct rpmsg_gpio_stream *stream;
	const struct rpmsg_gpio_line *line;
	uint32_t under_way;

	if (gpio >= device->config->ngpio)
		return false;
	line = &device->config->lines[gpio];
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE || line->flags & LINE_IRQ ||
	    line->fired)
		return false;
	if (!has_records(device))
		return true;
	stream = &device->config->streams[gpio];
	under_way = stream->edges - stream->base - stream->last;
	if (fifo_full(device))
		return false;
	if (!uses_credits(device, line))
		return !under_way;
	return (int32_t)(stream->granted - stream->sent - under_way) > 0;
}
